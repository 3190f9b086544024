"""What each transport is to answer, in Chromium and in Node."""


def all_scenarios(transport: str) -> dict[str, object]:
    """`scenarios.all` of pages/scenarios.js."""
    return {
        "echo": echoed(transport),
        "order": {"got": list(range(40)), "closed": 1000},
        "large": {"received": 1 << 20, "back": True},
        "closed": {"events": ["open", "close"], "code": 3000, "reason": "Go away!"},
        "last": {"events": ["open", "1", "2", "3", "close"], "code": 3001, "reason": "that was all"},
    }


def echoed(transport: str) -> dict[str, object]:
    """Whatever a string may hold came back over this very transport; then the client closed."""
    return {"transport": transport, "wrong": [], "closed": {"type": "close", "code": 3005, "reason": "enough"}}
