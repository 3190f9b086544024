"""ksnap itself, running on the development cluster: agents, one server, the command line. For demo and benches."""
