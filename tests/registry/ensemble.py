"""A ZooKeeper of a few lines: enough to make the replies that a real one could give."""

from __future__ import annotations

from dataclasses import dataclass, field

from zkdns.model import Begin, Children, Data, Event, Stat, Whole


@dataclass
class Node:
    data: bytes
    czxid: int
    mzxid: int
    pzxid: int
    kids: dict[str, Node] = field(default_factory=dict)

    @property
    def stat(self) -> Stat:
        return Stat(self.czxid, self.mzxid, float(self.czxid), True, bool(self.kids), owner=1)


class Ensemble:
    """`root` and what is below. Each write takes the next zxid."""

    def __init__(self, root: str = "/services", zxid: int = 1) -> None:
        self.path = root
        self.zxid = zxid
        self.root = Node(b"", zxid, zxid, zxid)

    def find(self, path: str) -> Node | None:
        node: Node | None = self.root
        for name in path.split("/") if path else ():
            node = node.kids.get(name) if node else None
        return node

    def create(self, path: str, data: bytes = b"") -> bool:
        parent = self.find(path.rpartition("/")[0])
        name = path.rpartition("/")[2]
        if parent is None or name in parent.kids:
            return False
        self.zxid += 1
        parent.pzxid = self.zxid
        parent.kids[name] = Node(data, self.zxid, self.zxid, self.zxid)
        return True

    def set(self, path: str, data: bytes) -> bool:
        node = self.find(path)
        if node is None:
            return False
        self.zxid += 1
        node.data, node.mzxid = data, self.zxid
        return True

    def delete(self, path: str) -> bool:
        """Children first, as a client must."""
        node = self.find(path)
        if node is None or not path:
            return False
        for name in list(node.kids):
            self.delete(f"{path}/{name}")
        self.zxid += 1
        parent = self.find(path.rpartition("/")[0])
        assert parent is not None
        parent.pzxid = self.zxid
        del parent.kids[path.rpartition("/")[2]]
        return True

    def absolute(self, path: str) -> str:
        return f"{self.path}/{path}" if path else self.path

    def list(self, path: str) -> Children | None:
        node = self.find(path)
        return Children(self.absolute(path), tuple(node.kids), node.pzxid) if node else None

    def get(self, path: str) -> Data | None:
        node = self.find(path)
        return Data(self.absolute(path), node.data, node.stat) if node else None

    def replies(self) -> list[Event]:
        """All that a full reading would bring."""
        found: list[Event | None] = [self.list("")]
        for service, node in self.root.kids.items():
            found += [self.get(service), self.list(service)]
            for name, kid in node.kids.items():
                found.append(self.get(f"{service}/{name}"))
                if kid.pzxid != kid.czxid:  # it has children, or had some
                    found.append(self.list(f"{service}/{name}"))
                    found += [self.get(f"{service}/{name}/{below}") for below in kid.kids]
        return [event for event in found if event is not None]

    def reading(self) -> list[Event]:
        return [Begin(), *self.replies(), Whole()]
