//! Reads the values of `zkdns/answers/table.py` by their attributes into the table's own.
//!
//! Rules: keeps none of them, but for the rotations and counters that many entries share: those are known
//! by identity, so they are held for as long as an entry uses them.

use crate::entry::{Entry, Given, Rotation};
use crate::query::KEY;
use crate::table::{GENERAL, InstanceAddresses, Instances, Name, Staleness, Table, Zone};
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// How much memory a value and its Python twin take, as a count of the numbers in it.
pub trait Weighed {
    fn weight(&self) -> usize;
}

impl Weighed for Rotation {
    fn weight(&self) -> usize {
        self.numbers()
    }
}

impl Weighed for AtomicU64 {
    fn weight(&self) -> usize {
        16
    }
}

/// What may lie unused before it is looked for: a megabyte or two.
const SPARE: usize = 1 << 15;

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
        if self.added <= self.used.max(SPARE) {
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
}

fn too_long<E>(_: E) -> PyErr {
    PyValueError::new_err("longer than a message can carry")
}

impl Publisher {
    pub fn entry(&mut self, key: &[u8], value: &Bound<PyAny>) -> PyResult<Entry> {
        let py = value.py();
        if key.len() > KEY {
            return Err(too_long(()));
        }
        let tiers = value.getattr(intern!(py, "tiers"))?.cast_into::<PyTuple>()?;
        let ede = value.getattr(intern!(py, "ede"))?.cast_into::<PyBytes>()?;
        let origin = match value.getattr(intern!(py, "variants"))?.is_none() {
            true => read_origin(value)?,
            false => GENERAL,
        };
        let repeats = value.getattr(intern!(py, "repeats"))?.extract()?;
        let counter = value.getattr(intern!(py, "counter"))?;
        let counter = self
            .counters
            .find(&counter, || Ok(AtomicU64::new(counter.getattr(intern!(py, "position"))?.extract()?)))?;
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
        let entry = Entry::new(key, &given, ede.as_bytes(), repeats, counter).map_err(too_long)?;
        Ok(entry.of(origin))
    }
}

fn read_origin(value: &Bound<PyAny>) -> PyResult<u16> {
    match value.getattr(intern!(value.py(), "origin"))?.extract()? {
        GENERAL => Err(PyValueError::new_err("too many origins")),
        origin => Ok(origin),
    }
}

fn read_rotation(value: &Bound<PyAny>) -> PyResult<Rotation> {
    let py = value.py();
    let orders: Vec<Vec<u32>> = value.getattr(intern!(py, "orders"))?.extract()?;
    let sequence: Vec<u32> = value.getattr(intern!(py, "sequence"))?.extract()?;
    Ok(Rotation::new(orders.iter().map(Vec::as_slice), &sequence))
}

pub fn read_name(key: &[u8], value: &Bound<PyAny>) -> PyResult<Name> {
    let py = value.py();
    if !value.getattr(intern!(py, "responder"))?.is_none() {
        return Ok(Name::new(key, 0, b"", None, true));
    }
    let zone = value.getattr(intern!(py, "zone"))?.extract()?;
    let ede = value.getattr(intern!(py, "ede"))?.cast_into::<PyBytes>()?;
    let instances = value.getattr(intern!(py, "instances"))?;
    let instances = if instances.is_none() { None } else { Some(read_instances(&instances)?) };
    Ok(Name::new(key, zone, ede.as_bytes(), instances, false).of(read_origin(value)?))
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
    if origin >= GENERAL as usize {
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
