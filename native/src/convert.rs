//! Reads the values of `zkdns/answers/table.py` by their attributes into the table's own.
//!
//! Rules: keeps none of them, but for the rotations and counters that many entries share: those are known
//! by identity, so they are held for as long as an entry uses them.

use crate::clients::Clients;
use crate::entry::{Entry, Given, Variant, Variants};
use crate::index::Keyed;
use crate::numbers::{Numbers, Used};
use crate::prefix::Prefixes;
use crate::prepared::Prepared;
use crate::query::KEY;
use crate::rotation::Rotation;
use crate::table::{InstanceAddresses, Instances, MAX_ORIGINS, Name, Staleness, Table, Zone};
use crate::told::{Row, Told};
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// How much memory a value and its Python twin take, as a count of the numbers in it.
pub trait Weighed {
    /// What may lie unused before it is looked for: a megabyte or two.
    const SPARE: usize = 1 << 15;

    fn weight(&self) -> usize;
}

impl Weighed for Rotation {
    /// As many as Python keeps for those that come back (`policies.RECENT`), which it holds anyway.
    const SPARE: usize = 1 << 17;

    fn weight(&self) -> usize {
        self.numbers()
    }
}

impl Weighed for AtomicU64 {
    fn weight(&self) -> usize {
        16
    }
}

/// Python values that entries share, by identity; each is held as long as an entry uses its twin, and
/// for a while after: looking for those that none uses costs as much as there are.
pub struct Twins<T> {
    pub known: HashMap<usize, (Py<PyAny>, Arc<T>)>,
    used: usize,
    added: usize,
}

impl<T> Default for Twins<T> {
    fn default() -> Self {
        Twins { known: HashMap::new(), used: 0, added: 0 }
    }
}

impl<T: Weighed> Twins<T> {
    fn find(&mut self, value: &Bound<PyAny>, make: impl FnOnce() -> PyResult<T>) -> PyResult<Arc<T>> {
        if let Some((_, twin)) = self.known.get(&(value.as_ptr() as usize)) {
            return Ok(twin.clone());
        }
        let twin = Arc::new(make()?);
        self.added += twin.weight();
        self.known.insert(value.as_ptr() as usize, (value.clone().unbind(), twin.clone()));
        Ok(twin)
    }

    /// Lets go of what no entry uses any more, with a last look at it, once as much was added as is
    /// used: by weight, for one rotation may be as large as a thousand others.
    pub fn sweep(&mut self, last: impl Fn(&Py<PyAny>, &T)) {
        if self.added <= self.used.max(T::SPARE) {
            return;
        }
        (self.used, self.added) = (0, 0);
        self.known.retain(|_, (value, twin)| {
            let used = Arc::strong_count(twin) > 1;
            if used {
                self.used += twin.weight();
            } else {
                last(value, twin);
            }
            used
        });
    }
}

/// What a publisher has to remember between two publishes.
#[derive(Default)]
pub struct Publisher {
    pub rotations: Twins<Rotation>,
    pub counters: Twins<AtomicU64>,
    /// Of services and instances; None where nobody notes who was told.
    pub numbers: Option<Numbers>,
    pub entries: Prepared<Entry>,
    pub instances_of: Prepared<Instances>,
    /// The ids that were met last: all entries of a service have the same.
    ids: Option<(Py<PyAny>, Arc<[u32]>)>,
}

fn too_long<E>(_: E) -> PyErr {
    PyValueError::new_err("longer than a message can carry")
}

/// A client, how often it asked, since when.
pub type Asker = (String, u64, f64);
/// Client, service, first and last time, queries, what stood first last, where all stood that it was given,
/// and when it was given others.
pub type ToldRow = (String, String, f64, f64, u64, String, String, f64);

impl Publisher {
    pub fn new(notes: bool) -> Publisher {
        Publisher { numbers: notes.then(Numbers::default), ..Publisher::default() }
    }

    /// The number of the service that a value names; 0 where it names none.
    fn service(&mut self, value: &Bound<PyAny>) -> PyResult<u32> {
        self.number(value, intern!(value.py(), "service"))
    }

    fn number(&mut self, value: &Bound<PyAny>, field: &Bound<PyString>) -> PyResult<u32> {
        let Some(numbers) = &mut self.numbers else { return Ok(0) };
        let name = value.getattr(field)?.cast_into::<PyString>()?;
        let name = name.to_cow()?;
        Ok(if name.is_empty() { 0 } else { numbers.number(&name) })
    }

    /// The numbers of the instances behind an entry's first tier.
    fn instances(&mut self, value: &Bound<PyAny>) -> PyResult<Arc<[u32]>> {
        let ids = value.getattr(intern!(value.py(), "ids"))?;
        if let Some((met, instances)) = &self.ids {
            if met.is(&ids) {
                return Ok(instances.clone());
            }
        }
        let Some(numbers) = &mut self.numbers else { return Ok(Arc::default()) };
        let mut instances = Vec::new();
        for id in ids.cast::<PyTuple>()?.iter() {
            instances.push(numbers.number(&id.cast::<PyString>()?.to_cow()?));
        }
        let instances: Arc<[u32]> = instances.into();
        self.ids = Some((ids.unbind(), instances.clone()));
        Ok(instances)
    }

    /// A row with its names; None for a service that is not known any more.
    pub fn spell(&self, row: &Row) -> Option<ToldRow> {
        let numbers = self.numbers.as_ref()?;
        let [instance, zone] =
            [row.instance, row.zone].map(|number| numbers.name(number).map_or("", |name| name).to_owned());
        let [first, last, beyond] = [row.first, row.last, row.beyond].map(|at| at as f64 / 1000.0);
        let service = numbers.name(row.service)?.to_string();
        Some((row.client().to_string(), service, first, last, row.queries, instance, zone, beyond))
    }

    /// Lets go of the names that neither these tables nor rows of those who were told have.
    pub fn sweep_numbers(&mut self, table: &Table, rows: impl FnOnce() -> Vec<Told>) {
        let Some(numbers) = &mut self.numbers else { return };
        if !numbers.is_sweep_due() {
            return;
        }
        self.ids = None;
        let mut used = Used::default();
        for entry in table.entries.values().chain(self.entries.values()) {
            entry.add_numbers(&mut used);
        }
        used.extend(table.names.values().map(|name| name.service));
        used.extend(rows().iter().flat_map(|told| [told.service, told.instance, told.zone]));
        numbers.sweep(&used);
    }

    pub fn entry(&mut self, key: &[u8], value: &Bound<PyAny>) -> PyResult<Arc<Entry>> {
        match self.entries.find(value).filter(|packed| packed.key() == key) {
            Some(packed) => Ok(packed),
            None => Ok(Arc::new(self.read_entry(key, value)?)),
        }
    }

    /// What `entry` would make of it, from now on ready.
    pub fn prepare(&mut self, key: &[u8], value: &Bound<PyAny>) -> PyResult<()> {
        let entry = Arc::new(self.read_entry(key, value)?);
        self.entries.put(value, entry);
        Ok(())
    }

    /// The same of the rotation of a tier.
    pub fn prepare_rotation(&mut self, rotation: &Bound<PyAny>) -> PyResult<()> {
        self.rotations.find(rotation, || read_rotation(rotation)).map(drop)
    }

    /// The same of the names below a service's own.
    pub fn prepare_instances(&mut self, value: &Bound<PyAny>) -> PyResult<()> {
        self.instances_of.put(value, Arc::new(read_instances(value)?));
        Ok(())
    }

    /// Lets go of what was put in force.
    pub fn sweep_prepared(&mut self) {
        self.entries.sweep();
        self.instances_of.sweep();
    }

    fn read_entry(&mut self, key: &[u8], value: &Bound<PyAny>) -> PyResult<Entry> {
        let py = value.py();
        if key.len() > KEY {
            return Err(too_long(()));
        }
        let ede = value.getattr(intern!(py, "ede"))?.cast_into::<PyBytes>()?;
        let counter = self.counter(value)?;
        let entry = self.pack(key, value, ede.as_bytes(), counter)?.of(read_origin(value)?);
        let variants = value.getattr(intern!(py, "variants"))?;
        if variants.is_none() {
            return Ok(entry);
        }
        Ok(entry.with(self.variants(&variants)?))
    }

    /// Those of the same tiers are packed once.
    fn variants(&mut self, value: &Bound<PyAny>) -> PyResult<Variants> {
        let py = value.py();
        let mut packed: HashMap<usize, Arc<Entry>> = HashMap::new();
        let mut variants = Vec::new();
        for item in value.call_method0(intern!(py, "items"))?.try_iter()? {
            let (class, one) = item?.extract::<(u16, Bound<PyAny>)>()?;
            let counter = self.counter(&one)?;
            let tiers = one.getattr(intern!(py, "tiers"))?.as_ptr() as usize;
            let entry = match packed.get(&tiers) {
                Some(entry) => entry.clone(),
                None => Arc::new(self.pack(&[], &one, &[], counter.clone())?),
            };
            packed.insert(tiers, entry.clone());
            let ede = one.getattr(intern!(py, "ede"))?.cast_into::<PyBytes>()?.as_bytes().into();
            variants.push((class, Variant { entry, ede, counter }));
        }
        Ok(Variants::new(variants))
    }

    fn counter(&mut self, value: &Bound<PyAny>) -> PyResult<Arc<AtomicU64>> {
        let py = value.py();
        let counter = value.getattr(intern!(py, "counter"))?;
        self.counters
            .find(&counter, || Ok(AtomicU64::new(counter.getattr(intern!(py, "position"))?.extract()?)))
    }

    fn pack(
        &mut self,
        key: &[u8],
        value: &Bound<PyAny>,
        ede: &[u8],
        counter: Arc<AtomicU64>,
    ) -> PyResult<Entry> {
        let py = value.py();
        let tiers = value.getattr(intern!(py, "tiers"))?.cast_into::<PyTuple>()?;
        let repeats = value.getattr(intern!(py, "repeats"))?.extract()?;
        let mut held = Vec::with_capacity(tiers.len());
        for tier in tiers.iter() {
            let rotation = tier.getattr(intern!(py, "rotation"))?;
            let rotation = self.rotations.find(&rotation, || read_rotation(&rotation))?;
            let records = tier.getattr(intern!(py, "records"))?.extract::<Vec<Bound<PyBytes>>>()?;
            let extras = tier.getattr(intern!(py, "extras"))?.extract::<Vec<Bound<PyBytes>>>()?;
            let counts = tier.getattr(intern!(py, "extra_counts"))?.extract::<Vec<u32>>()?;
            held.push((rotation, records, extras, counts));
        }
        let given: Vec<Given> = held
            .iter()
            .map(|(rotation, records, extras, counts)| Given {
                rotation: rotation.clone(),
                records: records.iter().map(|record| record.as_bytes()).collect(),
                extras: extras
                    .iter()
                    .map(|extra| extra.as_bytes())
                    .zip(counts.iter().map(|n| u16::try_from(*n).unwrap_or(u16::MAX)))
                    .collect(),
            })
            .collect();
        let entry = Entry::new(key, &given, ede, repeats, counter).map_err(too_long)?;
        let service = self.service(value)?;
        let instances = if service > 0 { self.instances(value)? } else { Arc::default() };
        let zone = self.number(value, intern!(py, "zone"))?;
        Ok(entry.about(service, instances, zone))
    }

    fn instances_below(&mut self, value: &Bound<PyAny>) -> PyResult<Option<Arc<Instances>>> {
        let value = value.getattr(intern!(value.py(), "instances"))?;
        if value.is_none() {
            return Ok(None);
        }
        match self.instances_of.find(&value) {
            Some(packed) => Ok(Some(packed)),
            None => Ok(Some(Arc::new(read_instances(&value)?))),
        }
    }

    pub fn name(&mut self, key: &[u8], value: &Bound<PyAny>) -> PyResult<Name> {
        let py = value.py();
        if !value.getattr(intern!(py, "responder"))?.is_none() {
            return Ok(Name::new(key, 0, b"", None, true));
        }
        let zone = value.getattr(intern!(py, "zone"))?.extract()?;
        let ede = value.getattr(intern!(py, "ede"))?.cast_into::<PyBytes>()?;
        let instances = self.instances_below(value)?;
        let name = Name::new(key, zone, ede.as_bytes(), instances, false).of(read_origin(value)?);
        let below = !value.getattr(intern!(py, "below"))?.is_none();
        Ok(name.leaving(below).without(self.service(value)?))
    }
}

fn read_origin(value: &Bound<PyAny>) -> PyResult<u16> {
    match value.getattr(intern!(value.py(), "origin"))?.extract()? {
        MAX_ORIGINS => Err(PyValueError::new_err("too many origins")),
        origin => Ok(origin),
    }
}

fn read_rotation(value: &Bound<PyAny>) -> PyResult<Rotation> {
    let py = value.py();
    let orders = value.getattr(intern!(py, "orders"))?;
    let sequence: Vec<u32> = value.getattr(intern!(py, "sequence"))?.extract()?;
    if let Ok(spans) = orders.getattr(intern!(py, "spans")) {
        let indices = orders.getattr(intern!(py, "indices"))?.extract()?;
        let ends = orders.getattr(intern!(py, "ends"))?.extract()?;
        return Rotation::spliced(indices, spans.extract()?, ends, &sequence)
            .ok_or_else(|| PyValueError::new_err("orders that aim past their indices"));
    }
    let orders: Vec<Vec<u32>> = orders.extract()?;
    Ok(Rotation::new(orders.iter().map(Vec::as_slice), &sequence))
}

fn read_instances(value: &Bound<PyAny>) -> PyResult<Instances> {
    let py = value.py();
    let mut held = Vec::new();
    for item in value.call_method0(intern!(py, "items"))?.try_iter()? {
        let (label, instance) = item?.extract::<(Bound<PyBytes>, Bound<PyAny>)>()?;
        let a = instance.getattr(intern!(py, "a"))?.cast_into::<PyBytes>()?;
        let aaaa = instance.getattr(intern!(py, "aaaa"))?.cast_into::<PyBytes>()?;
        held.push((label, a, aaaa));
    }
    let instances = held.iter().map(|(label, a, aaaa)| {
        (label.as_bytes(), InstanceAddresses { a: a.as_bytes(), aaaa: aaaa.as_bytes() })
    });
    Instances::new(instances).map_err(too_long)
}

pub fn put_zone(table: &mut Table, value: &Bound<PyAny>) -> PyResult<()> {
    let py = value.py();
    let index: usize = value.getattr(intern!(py, "index"))?.extract()?;
    let run = |name: &Bound<PyString>| -> PyResult<Box<[u8]>> {
        Ok(value.getattr(name)?.cast_into::<PyBytes>()?.as_bytes().into())
    };
    let zone = Zone { apex: run(intern!(py, "apex"))?, soa: run(intern!(py, "soa"))? };
    if table.zones.len() <= index {
        table.zones.resize(index + 1, None);
    }
    table.zones[index] = Some(Arc::new(zone));
    Ok(())
}

pub fn put_staleness(table: &mut Table, origin: usize, value: &Bound<PyAny>) -> PyResult<()> {
    let py = value.py();
    if origin >= MAX_ORIGINS as usize {
        return Err(PyValueError::new_err("too many origins"));
    }
    let run = |name: &Bound<PyString>| -> PyResult<Box<[u8]>> {
        Ok(value.getattr(name)?.cast_into::<PyBytes>()?.as_bytes().into())
    };
    if table.staleness.len() <= origin {
        table.staleness.resize(origin + 1, Staleness::default());
    }
    let failing = !run(intern!(py, "failure"))?.is_empty();
    table.staleness[origin] = Staleness { option: run(intern!(py, "option"))?, failing };
    Ok(())
}

/// Where clients stand (`zkdns/client_map.py`).
pub fn read_clients(value: &Bound<PyAny>) -> PyResult<Clients> {
    let py = value.py();
    let prefixes = |name: &Bound<PyString>| -> PyResult<Vec<(IpAddr, u8, u16)>> {
        let mut found = Vec::new();
        for item in value.getattr(name)?.try_iter()? {
            let (address, bits, class) = item?.extract::<(String, u8, u16)>()?;
            let address =
                address.parse().map_err(|_| PyValueError::new_err(format!("not an address: {address}")))?;
            found.push((address, bits, class));
        }
        Ok(found)
    };
    let trusted: Vec<_> =
        prefixes(intern!(py, "trusted"))?.into_iter().map(|(net, bits, _)| (net, bits, ())).collect();
    Ok(Clients {
        map: Prefixes::new(&prefixes(intern!(py, "networks"))?),
        own: value.getattr(intern!(py, "own"))?.extract()?,
        trusted: Prefixes::new(&trusted),
    })
}
