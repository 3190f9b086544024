"""Services, ingresses and their classes, network policies: lists, and details made of single objects."""
