//! Reads the values of `zkdns/answers/table.py` by their attributes into the table's own.
//!
//! Rules: keeps none of them, but for the deals and draws that many entries share: those are known
//! by identity, so they are held for as long as an entry uses them.

use crate::entry::{Deal, Entry, Given};
use crate::query::KEY;
use crate::table::{Kid, Kids, Name, Table, Zone};
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

impl Weighed for Deal {
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
    /// used: by weight, for one deal may be as large as a thousand others.
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
    pub deals: Twins<Deal>,
    pub draws: Twins<AtomicU64>,
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
        let repeats = value.getattr(intern!(py, "repeats"))?.extract()?;
        let draws = value.getattr(intern!(py, "draws"))?;
        let counter = self
            .draws
            .find(&draws, || Ok(AtomicU64::new(draws.getattr(intern!(py, "count"))?.extract()?)))?;
        let mut held = Vec::with_capacity(tiers.len());
        for tier in tiers.iter() {
            let deal = tier.getattr(intern!(py, "deal"))?;
            let deal = self.deals.find(&deal, || read_deal(&deal))?;
            let pieces = tier.getattr(intern!(py, "pieces"))?.extract::<Vec<Bound<PyBytes>>>()?;
            let extras = tier.getattr(intern!(py, "extras"))?.extract::<Vec<Bound<PyBytes>>>()?;
            let counts = tier.getattr(intern!(py, "extra_counts"))?.extract::<Vec<u32>>()?;
            held.push((deal, pieces, extras, counts));
        }
        let given: Vec<Given> = held
            .iter()
            .map(|(deal, pieces, extras, counts)| Given {
                deal: deal.clone(),
                pieces: pieces.iter().map(|piece| piece.as_bytes()).collect(),
                extras: extras
                    .iter()
                    .map(|extra| extra.as_bytes())
                    .zip(counts.iter().map(|n| u16::try_from(*n).unwrap_or(u16::MAX)))
                    .collect(),
            })
            .collect();
        Entry::new(key, &given, ede.as_bytes(), repeats, counter).map_err(too_long)
    }
}

fn read_deal(value: &Bound<PyAny>) -> PyResult<Deal> {
    let py = value.py();
    let orders: Vec<Vec<u32>> = value.getattr(intern!(py, "orders"))?.extract()?;
    let sequence: Vec<u32> = value.getattr(intern!(py, "sequence"))?.extract()?;
    Ok(Deal::new(orders.iter().map(Vec::as_slice), &sequence))
}

pub fn read_name(table: &mut Table, key: &[u8], value: &Bound<PyAny>) -> PyResult<Name> {
    let py = value.py();
    let zone = value.getattr(intern!(py, "zone"))?;
    // A zone below 0 is a file's, and a file's names are Python's to answer.
    let index: i64 = zone.getattr(intern!(py, "index"))?.extract()?;
    let odd = index < 0 || !value.getattr(intern!(py, "odd"))?.is_none();
    if odd {
        return Ok(Name::new(key, 0, b"", None, true));
    }
    if !matches!(table.zones.get(index as usize), Some(Some(_))) {
        put_zone(table, &zone)?;
    }
    let ede = value.getattr(intern!(py, "ede"))?.cast_into::<PyBytes>()?;
    let kids = value.getattr(intern!(py, "kids"))?;
    let kids = if kids.is_none() { None } else { Some(read_kids(&kids)?) };
    Ok(Name::new(key, index as u32, ede.as_bytes(), kids, false))
}

fn read_kids(value: &Bound<PyAny>) -> PyResult<Kids> {
    let py = value.py();
    let mut held = Vec::new();
    for item in value.call_method0(intern!(py, "items"))?.try_iter()? {
        let (label, kid) = item?.extract::<(Bound<PyBytes>, Bound<PyAny>)>()?;
        let a = kid.getattr(intern!(py, "a"))?.cast_into::<PyBytes>()?;
        let aaaa = kid.getattr(intern!(py, "aaaa"))?.cast_into::<PyBytes>()?;
        held.push((label, a, aaaa));
    }
    let kids = held
        .iter()
        .map(|(label, a, aaaa)| (label.as_bytes(), Kid { a: a.as_bytes(), aaaa: aaaa.as_bytes() }));
    Kids::new(kids).map_err(too_long)
}

pub fn put_zone(table: &mut Table, value: &Bound<PyAny>) -> PyResult<()> {
    let py = value.py();
    let index: usize = value.getattr(intern!(py, "index"))?.extract()?;
    let run = |name: &Bound<PyString>| -> PyResult<Box<[u8]>> {
        Ok(value.getattr(name)?.cast_into::<PyBytes>()?.as_bytes().into())
    };
    let zone = Zone {
        apex: run(intern!(py, "apex"))?,
        soa: run(intern!(py, "soa"))?,
        failing: !run(intern!(py, "failure"))?.is_empty(),
    };
    if table.zones.len() <= index {
        table.zones.resize(index + 1, None);
    }
    table.zones[index] = Some(Arc::new(zone));
    Ok(())
}
