"""Apache Pulsar's brokers: `/loadbalance/brokers/<host:port>`.

Source: pulsar 3.3, pulsar-broker's LoadManager (LOADBALANCE_BROKERS_ROOT), ModularLoadManagerImpl and
BrokerRegistryImpl (both write there), LocalBrokerData and BrokerLookupData (webServiceUrl, webServiceUrlTls,
pulsarServiceUrl, pulsarServiceUrlTls). Rules: the main port is the binary protocol's, else TLS, else HTTP's;
the load report that stands beside the URLs and is rewritten all the time is left, so that an equal
registration comes of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from zkdns.model import Registration
from zkdns.registry.endpoints import named_ports, url
from zkdns.registry.fields import BadData, share
from zkdns.registry.formats import Node, demand_object
from zkdns.registry.places import Part, Preset, place

_URLS: Final = {
    "pulsar": "pulsarServiceUrl",
    "pulsar-ssl": "pulsarServiceUrlTls",
    "http": "webServiceUrl",
    "https": "webServiceUrlTls",
}


def _read_broker(node: Node, holes: Mapping[str, str]) -> Iterator[Part]:
    value = demand_object(node)
    urls = {name: url(value[field], field) for name, field in _URLS.items() if value.get(field) is not None}
    if not urls:
        raise BadData("it has none of the URLs " + ", ".join(_URLS.values()), "let the broker register again")
    first = next(iter(urls.values()))
    yield Registration(
        first.addresses,
        first.host,
        first.port,
        ports=share(named_ports({name: end.port for name, end in urls.items()})),
        format="pulsar",
    )


PRESET = Preset("pulsar", (place("/loadbalance/brokers/{id}", "pulsar", _read_broker),))
