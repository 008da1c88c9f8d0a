//! The face that Python sees: an engine to publish to, to start and stop, and to take packets from.
//!
//! Rules: what may block lets go of the interpreter; an answering thread never needs it.

use crate::cache::{Cache, Reading};
use crate::convert::{Asker, Publisher, put_staleness, put_zone, read_clients};
use crate::handover::{Fault, Way};
use crate::index::Change;
use crate::kept::PyCache;
use crate::prefix::Prefixes;
use crate::query::Asked;
use crate::respond::{Client, Desk, NOBODY, Outcome, answer};
use crate::running::Running;
use crate::streams::Limits;
use crate::table::Table;
use crate::told::Row;
use crate::worker::{self, Shared};
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};
use std::collections::HashMap;
use std::net::IpAddr;
use std::os::fd::RawFd;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, Once};
use std::time::{Duration, Instant};

/// Rows that are spelled before others have their turn with the interpreter: a few milliseconds.
const ROWS_AT_ONCE: usize = 1024;

/// Whom a handed-over packet came from and by which way: what its reply needs.
#[pyclass(frozen, module = "zkdns._native")]
struct Route {
    way: Way,
    sampled: bool,
    since: Instant,
}

#[pymethods]
impl Route {
    #[getter]
    fn host(&self) -> String {
        self.way.peer().ip().to_canonical().to_string()
    }

    #[getter]
    fn port(&self) -> u16 {
        self.way.peer().port()
    }

    #[getter]
    fn transport(&self) -> &'static str {
        match self.way {
            Way::Datagram { .. } => "udp",
            Way::Stream { .. } => "tcp",
        }
    }

    /// Whether it was handed over for the query log alone.
    #[getter]
    fn sampled(&self) -> bool {
        self.sampled
    }

    /// Seconds since it was handed over.
    #[getter]
    fn waited(&self) -> f64 {
        self.since.elapsed().as_secs_f64()
    }
}

#[pyclass(frozen, module = "zkdns._native")]
struct Engine {
    shared: Arc<Shared>,
    publisher: Mutex<Publisher>,
    running: Running,
    desk: Mutex<Desk>,
}

fn read_address(text: &str) -> PyResult<IpAddr> {
    text.parse().map_err(|_| PyValueError::new_err(format!("not an address: {text}")))
}

/// The pairs of one of a Delta's maps.
fn items<'py>(
    delta: &Bound<'py, PyAny>,
    map: &Bound<'py, PyString>,
) -> PyResult<impl Iterator<Item = PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)>>> {
    let items = delta.getattr(map)?.call_method0(intern!(delta.py(), "items"))?.try_iter()?;
    Ok(items.map(|pair| pair?.extract()))
}

/// What becomes another in one of the maps that have None for what is there no more.
fn changes<V>(
    delta: &Bound<PyAny>,
    map: &Bound<PyString>,
    mut read: impl FnMut(&[u8], &Bound<PyAny>) -> PyResult<Arc<V>>,
) -> PyResult<Vec<Change<V>>> {
    let change = |pair: PyResult<(Bound<PyAny>, Bound<PyAny>)>| {
        let (key, value) = pair?;
        let key = key.cast_into::<PyBytes>()?;
        let value = if value.is_none() { None } else { Some(read(key.as_bytes(), &value)?) };
        Ok(Change { key: key.as_bytes().into(), value })
    };
    items(delta, map)?.map(change).collect()
}

/// A lock that may be held while Python code runs: to wait for it with the interpreter held would keep
/// the holder from ever letting go.
fn attached<'a, T>(py: Python, mutex: &'a Mutex<T>) -> MutexGuard<'a, T> {
    mutex.lock_py_attached(py).unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// A panic of an answering thread is reported with its packet; all others are told as ever.
fn hush_answering_threads() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let told = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if !std::thread::current().name().is_some_and(|name| name.starts_with(worker::THREAD)) {
                told(panic);
            }
        }));
    });
}

#[pymethods]
impl Engine {
    /// `queue`: how many packets may wait for Python. `cache`: what upstreams answered. `notes`: whether it is
    /// noted who was told what.
    #[new]
    #[pyo3(signature = (queue, cache=None, notes=true))]
    fn new(queue: usize, cache: Option<&PyCache>, notes: bool) -> PyResult<Engine> {
        hush_answering_threads();
        let cache = cache.map_or_else(|| Arc::new(Cache::new(0, 0, 0.0)), |cache| cache.cache.clone());
        Ok(Engine {
            shared: Arc::new(Shared::new(queue, cache)?),
            publisher: Mutex::new(Publisher::new(notes)),
            running: Running::default(),
            desk: Mutex::default(),
        })
    }

    /// Puts a Delta (`zkdns/answers/table.py`) in force in one step: an answer is of the table before or of
    /// the one after. Where it raises, the table before stays.
    fn apply(&self, py: Python, delta: &Bound<PyAny>) -> PyResult<()> {
        let mut publisher = attached(py, &self.publisher);
        let mut table = Table::clone(&self.shared.table.load());
        for zone in items(delta, intern!(py, "zones"))? {
            put_zone(&mut table, &zone?.1)?;
        }
        for change in items(delta, intern!(py, "staleness"))? {
            let (origin, staleness) = change?;
            put_staleness(&mut table, origin.extract()?, &staleness)?;
        }
        let clients = delta.getattr(intern!(py, "clients"))?;
        if !clients.is_none() {
            table.clients = Arc::new(read_clients(&clients)?);
        }
        let read_entry = |key: &[u8], entry: &Bound<PyAny>| publisher.entry(key, entry);
        table.entries.apply(changes(delta, intern!(py, "entries"), read_entry)?);
        let read_name = |key: &[u8], name: &Bound<PyAny>| publisher.name(key, name).map(Arc::new);
        table.put_names(changes(delta, intern!(py, "names"), read_name)?);
        publisher.sweep_numbers(&table, || self.running.told(None, None).0.iter().map(Row::told).collect());
        self.shared.table.store(Arc::new(table));
        publisher.sweep_prepared();
        publisher.rotations.sweep(|_, _| ());
        // The count goes back to where it came from: the same counter may be published again.
        publisher
            .counters
            .sweep(|twin, counter| drop(twin.setattr(py, intern!(py, "position"), counter.load(Relaxed))));
        Ok(())
    }

    /// Packs an entry that is to be put in force: any thread may do so, and `apply` has no more to do with it.
    fn prepare(&self, py: Python, key: &[u8], entry: &Bound<PyAny>) -> PyResult<()> {
        attached(py, &self.publisher).prepare(key, entry)
    }

    /// The same of the rotation of one of its tiers.
    fn prepare_rotation(&self, py: Python, rotation: &Bound<PyAny>) -> PyResult<()> {
        attached(py, &self.publisher).prepare_rotation(rotation)
    }

    /// The same of the names of a service's instances.
    fn prepare_instances(&self, py: Python, instances: &Bound<PyAny>) -> PyResult<()> {
        attached(py, &self.publisher).prepare_instances(instances)
    }

    /// How many values are prepared and not in force.
    fn prepared(&self, py: Python) -> usize {
        let publisher = attached(py, &self.publisher);
        publisher.entries.len() + publisher.instances_of.len()
    }

    /// Who is told that recursion is available: clients in these networks.
    fn offer_recursion(&self, py: Python, networks: Vec<(String, u8)>) -> PyResult<()> {
        let read = |(net, bits): (String, u8)| Ok((read_address(&net)?, bits, ()));
        let networks = networks.into_iter().map(read).collect::<PyResult<Vec<_>>>()?;
        let _publisher = attached(py, &self.publisher); // two who publish at once would lose one's work
        let mut table = Table::clone(&self.shared.table.load());
        table.recursion = Prefixes::new(&networks);
        self.shared.table.store(Arc::new(table));
        Ok(())
    }

    /// Binds `workers` sockets of each kind on each address and answers on them; returns what was bound.
    /// `buffer`: bytes that each socket asks for, both ways. `tcp`: how many connections there may be, bytes that wait for them, and seconds that one may idle.
    fn start(
        &self,
        addresses: Vec<(String, u16)>,
        workers: usize,
        buffer: i32,
        tcp: (usize, usize, f64),
    ) -> PyResult<Vec<(String, u16)>> {
        let mut wanted = Vec::new();
        for (host, port) in &addresses {
            wanted.push((read_address(host)?, *port).into());
        }
        let (connections, bytes, idle) = tcp;
        let limits = Limits { connections, bytes, idle: Duration::from_secs_f64(idle) };
        let bound = self.running.start(&self.shared, &wanted, workers, buffer, limits);
        let bound = bound.map_err(|(at, error)| {
            let code = error.raw_os_error().unwrap_or(0);
            let told = error.to_string();
            let told = told.split(" (os error").next().unwrap_or_default().to_owned();
            PyOSError::new_err((code, told, at.to_string()))
        })?;
        Ok(bound.iter().map(|at| (at.ip().to_string(), at.port())).collect())
    }

    /// Takes no new queries over UDP and no new connections, answers those that have come, and ends
    /// the threads of UDP.
    fn stop(&self, py: Python) {
        py.detach(|| self.running.leave(&self.shared));
    }

    /// Takes no more queries of the connections that are left: after this, all that was asked is
    /// answered, or waits for Python.
    fn finish(&self, py: Python) {
        py.detach(|| self.running.finish());
    }

    /// Sends what is answered and closes the sockets: no reply leaves any more.
    fn close(&self, py: Python) {
        py.detach(|| self.running.close(&self.shared));
    }

    /// Hands one packet in so many over to Python, plain ones too; 0: none.
    fn sample(&self, every: u32) {
        self.shared.sample.store(every, Relaxed);
    }

    /// Readable while packets or reports of panics wait.
    fn fileno(&self) -> RawFd {
        self.shared.handover.descriptor()
    }

    /// Packets that are Python's to answer, their clients in turn, at most `most`.
    fn take<'py>(&self, py: Python<'py>, most: usize) -> PyResult<Bound<'py, PyList>> {
        let taken = self.shared.handover.take(most);
        let pair = |handed: crate::handover::Handed| {
            let route = Route { way: handed.way, sampled: handed.sampled, since: handed.since };
            let route = Py::new(py, route)?;
            (PyBytes::new(py, &handed.packet), route).into_pyobject(py)
        };
        PyList::new(py, taken.into_iter().map(pair).collect::<PyResult<Vec<Bound<PyTuple>>>>()?)
    }

    /// How many packets wait for Python.
    fn waiting(&self) -> usize {
        self.shared.handover.waiting()
    }

    /// What answering threads have to tell of themselves: `packet`, a panic over the answer to this one;
    /// `elsewhere`, a panic over something else; `lack`, what is lacking for new connections. Each with the packet,
    /// empty where there is none, and what was said.
    fn take_faults<'py>(&self, py: Python<'py>) -> Vec<(&'static str, Bound<'py, PyBytes>, String)> {
        let spell = |fault| {
            let (kind, packet, what) = match fault {
                Fault::Packet(packet, what) => ("packet", packet, what),
                Fault::Elsewhere(what) => ("elsewhere", Box::default(), what),
                Fault::Lack(what) => ("lack", Box::default(), what),
            };
            (kind, PyBytes::new(py, &packet), what)
        };
        self.shared.handover.take_faults().into_iter().map(spell).collect()
    }

    /// Sends replies where their packets came from.
    fn send(&self, replies: Vec<(Bound<Route>, Bound<PyBytes>)>) {
        self.running.send(replies.iter().map(|(route, reply)| (route.get().way, reply.as_bytes())));
    }

    /// The answer to one packet in the plain case, None where it is Python's to say. `ra`: 0x80 for a
    /// client that may have names forwarded; `client`: its address.
    #[pyo3(signature = (packet, limit, ra, now=None, client=None))]
    fn respond<'py>(
        &self,
        py: Python<'py>,
        packet: &[u8],
        limit: usize,
        ra: u8,
        now: Option<f64>,
        client: Option<&str>,
    ) -> Option<Bound<'py, PyBytes>> {
        let address = client.and_then(|client| client.parse().ok()).unwrap_or(NOBODY);
        let client = Client { address, limit, offered: ra != 0 };
        let (mut out, mut asked) = (Vec::new(), Asked::default());
        let table = self.shared.table.load();
        let mut desk = attached(py, &self.desk);
        let run = AssertUnwindSafe(|| {
            asked.read(packet);
            let said = answer(packet, &asked, None, client, &table, &mut desk, &mut out);
            if said == Outcome::Outside && ra != 0 {
                let given = Reading::new(&self.shared.cache, now).give(packet, &asked, limit, &mut out);
                return given.map_or(Outcome::Pass, |given| given.0);
            }
            said
        });
        // A panic passes it on, as it does in the threads: Python has the last word.
        match panic::catch_unwind(run).unwrap_or(Outcome::Pass) {
            Outcome::Reply { .. } => Some(PyBytes::new(py, &out)),
            _ => None,
        }
    }

    /// Where this counter stands; None where no entry in force has it.
    fn position_of(&self, counter: &Bound<PyAny>) -> Option<u64> {
        self.counter(counter).map(|counter| counter.load(Relaxed))
    }

    /// The next position of this counter, for an answer that Python gives.
    fn take_position(&self, counter: &Bound<PyAny>) -> Option<u64> {
        self.counter(counter).map(|counter| counter.fetch_add(1, Relaxed))
    }

    /// Replies by transport, type (0: all above 254) and rcode.
    fn replies<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        for (cell, n) in self.running.replies() {
            dict.set_item(cell, n)?;
        }
        Ok(dict)
    }

    /// TCP connections that are open, and the bytes that wait for them, in and out.
    fn connections(&self) -> (usize, usize) {
        self.running.connections()
    }

    /// TCP connections that we ended, by reason.
    fn closed(&self) -> HashMap<&'static str, u64> {
        self.running.closed()
    }

    /// Names that a search list made, by the client's address; "" for all past the first thousand.
    fn search_misses(&self) -> HashMap<String, u64> {
        self.running.search_misses()
    }

    /// Who was told what: client, service, first and last time (seconds since the epoch), queries, what stood
    /// first last, and where, for each thread; and how many rows had to go. Of one service, one client, or all.
    #[pyo3(signature = (service=None, client=None))]
    fn told<'py>(
        &self,
        py: Python<'py>,
        service: Option<&str>,
        client: Option<&str>,
    ) -> PyResult<(Bound<'py, PyList>, u64)> {
        let client = client.map(read_address).transpose()?;
        let number = |service| {
            let publisher = attached(py, &self.publisher);
            publisher.numbers.as_ref().and_then(|numbers| numbers.find(service)).unwrap_or(0)
        };
        let service = service.map(number); // 0: nobody was told of it
        let (rows, forgotten) = py.detach(|| self.running.told(service, client));
        let found = PyList::empty(py);
        for some in rows.chunks(ROWS_AT_ONCE) {
            {
                let publisher = attached(py, &self.publisher);
                some.iter().filter_map(|row| publisher.spell(row)).try_for_each(|row| found.append(row))?;
            }
            py.detach(std::thread::yield_now); // whoever waits for Python has its turn
        }
        Ok((found, forgotten))
    }

    /// How often each service was asked for; and so many clients, of those seen since (seconds since the
    /// epoch), the most asking first: who, how often, since when.
    fn demand(&self, py: Python, since: f64, most: usize) -> (HashMap<String, u64>, Vec<Asker>) {
        let (services, clients) = py.detach(|| {
            let demand = self.running.demand((since * 1000.0) as u64);
            let told = |(client, queries, first): (IpAddr, u64, u64)| {
                (client.to_string(), queries, first as f64 / 1000.0)
            };
            let clients = demand.most_asking(most).into_iter().map(told).collect();
            (demand.services, clients)
        });
        let publisher = attached(py, &self.publisher);
        let name = |number| publisher.numbers.as_ref()?.name(number).map(|name| name.to_string());
        let named = services.iter().filter_map(|(number, queries)| Some((name(*number)?, *queries)));
        (named.collect(), clients)
    }

    /// Everything else that is counted, by name.
    fn totals(&self) -> HashMap<&'static str, u64> {
        let mut totals = self.running.totals();
        totals.insert("beyond", self.shared.handover.beyond() as u64);
        totals
    }

    /// Replies by how long they took (bounds in `BOUNDS`, one bucket more above), and the sum in seconds.
    fn latency(&self) -> (Vec<u64>, f64) {
        self.running.latency()
    }

    /// How many entries and names are in force.
    fn size(&self) -> (usize, usize) {
        let table = self.shared.table.load();
        (table.entries.len(), table.names.len())
    }
}

impl Engine {
    fn counter(&self, counter: &Bound<PyAny>) -> Option<Arc<AtomicU64>> {
        attached(counter.py(), &self.publisher)
            .counters
            .known
            .get(&(counter.as_ptr() as usize))
            .map(|(_, counter)| counter.clone())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.running.close(&self.shared);
    }
}

#[pymodule]
mod _native {
    #[pymodule_export]
    use super::{Engine, Route};
    #[pymodule_export]
    use crate::kept::{Kept, PyCache};
    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("BOUNDS", crate::counters::BOUNDS.map(|bound| bound as f64 / 1e9).to_vec())
    }
}
