"""Lists: who sees what, filtered, sorted and paged out of the watch caches. A kind is added so:

1. A module in `dashboard/kinds/` with the record, which has the fields that the list needs and no others, a default
   for each (`Part` and `Record` of `kube/watch/records`; Kubernetes' names in snake case; tuples, never lists):

       class IngressClassSpec(Part, frozen=True):
           controller: str = ""

       class IngressClass(Record, frozen=True):
           spec: IngressClassSpec = IngressClassSpec()

       def _row(record: IngressClass, around: Around) -> Row:
           return {"controller": record.spec.controller}

       INGRESS_CLASSES: Kind[IngressClass] = Kind(
           Resource("ingressclasses", "IngressClass", IngressClass, group="networking.k8s.io", namespaced=False),
           type_name="ingressclass",
           row=_row,
       )

   `objectMeta` and `typeMeta` are put in front by the engine. `name`, `namespace` and `creationTimestamp` can be
   filtered and sorted by without a word; further ones are `properties=(text("type", attrgetter("spec.type")),)`.
   What a record derives costs nothing per request if it is worked out once, in `settle` (see `pods.Pod`).

2. Its routes, one line: `list_routes(router, INGRESS_CLASSES)` (`server/routes/dashboard/lists.py`).

3. What rows need of other resources (a deployment's pods) stands in `beside=(REPLICA_SETS, PODS)`; the row builder
   reads it by index: `around.view(PODS).by(BY_OWNER, record.metadata.uid)`. Never loop over all of them. Indexes
   are made once at a module's level (`kinds/indexes.py` has those by owner, node and involved object).

4. A list that belongs to an object (`/deployment/{ns}/{name}/event`): `lists.answer(EVENTS, ..., only=Only(...))`,
   with the index to look in, or a predicate.

5. `status=` counts the unfiltered list: a function of the view and what is around it; `measured=` says which pods or
   nodes the list's cumulative metrics are of.
"""
