"""SnapWatcher: freezes what opted in, once for each checkpoint key (contract snap-api, sections 3.6, 3.7 and 6).

Begin with `service.Watchers`. `rules` and `triggers` decide and are pure; `watching` follows one watcher's pods,
`acting` freezes one container, `claims` sees to it that it is one of all, `leases` that one server acts.
"""
