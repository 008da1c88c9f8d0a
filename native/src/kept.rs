//! The cache as Python sees it: what it puts there, looks up and takes out.
//!
//! Rules: reads the values of `zkdns/forward/stored.py` by their attributes and keeps none of them.

use crate::cache::Cache;
use crate::stored::{Ask, Given, Stored};
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::sync::Arc;

/// Room for what upstreams answer: `limit` bytes, `entries` of them; `now` by Python's clock.
#[pyclass(frozen, name = "Cache", module = "zkdns._native")]
pub struct PyCache {
    pub cache: Arc<Cache>,
}

/// One reply that is kept: Python's `Stored`, by another maker.
#[pyclass(frozen, module = "zkdns._native")]
pub struct Kept {
    stored: Arc<Stored>,
}

/// Of each record where its TTL stands, where it ends, and its TTL, which is in the body too.
fn read_marks(marks: &[u8]) -> PyResult<Vec<(u16, u16)>> {
    let place = |mark: &[u8], at: usize| {
        let number = u32::from_le_bytes([mark[at], mark[at + 1], mark[at + 2], mark[at + 3]]);
        u16::try_from(number).map_err(|_| PyValueError::new_err("a reply that is too long to be kept"))
    };
    marks.chunks_exact(12).map(|mark| Ok((place(mark, 0)?, place(mark, 4)?))).collect()
}

#[pymethods]
impl PyCache {
    #[new]
    fn new(limit: u64, entries: u64, now: f64) -> PyCache {
        PyCache { cache: Arc::new(Cache::new(limit, entries, now)) }
    }

    /// Keeps a reply in place of what has its key. `share`: of whose asking it came.
    fn put(&self, py: Python, key: &[u8], stored: &Bound<PyAny>, share: u8) -> PyResult<()> {
        let body = stored.getattr(intern!(py, "body"))?.cast_into::<PyBytes>()?;
        let errors = stored.getattr(intern!(py, "errors"))?.cast_into::<PyBytes>()?;
        let marks = stored.getattr(intern!(py, "marks"))?.cast_into::<PyBytes>()?;
        let others = stored.getattr(intern!(py, "others"))?.cast_into::<PyBytes>()?;
        let given = Given {
            key,
            body: body.as_bytes(),
            records: &read_marks(marks.as_bytes())?,
            counts: stored.getattr(intern!(py, "counts"))?.extract::<(u16, u16, u16)>()?.into(),
            others: others.as_bytes(),
            errors: errors.as_bytes(),
            flags: stored.getattr(intern!(py, "flags"))?.extract::<(u8, u8)>()?.into(),
            stored_at: stored.getattr(intern!(py, "stored_at"))?.extract()?,
            expires: stored.getattr(intern!(py, "expires"))?.extract()?,
            renew_at: stored.getattr(intern!(py, "renew_at"))?.extract()?,
        };
        let made = Stored::new(&given).map_err(|_| PyValueError::new_err("not a reply that can be kept"))?;
        self.cache.put(made, share, given.stored_at);
        Ok(())
    }

    fn get(&self, key: &[u8], now: f64) -> Option<Kept> {
        self.cache.get(key, now).map(|stored| Kept { stored })
    }

    /// Lets go of all that is said of these names, in lower case; with `below` of what is below them, too.
    fn forget(&self, names: Vec<Bound<PyBytes>>, below: bool) {
        let names: Vec<&[u8]> = names.iter().map(|name| name.as_bytes()).collect();
        self.cache.forget(&names, below);
    }

    fn clear(&self) {
        self.cache.clear();
    }

    /// Keys of what is asked often and ends soon: each is told once.
    fn take_due<'py>(&self, py: Python<'py>) -> Vec<Bound<'py, PyBytes>> {
        self.cache.take_due().iter().map(|key| PyBytes::new(py, key)).collect()
    }

    /// Bytes that what is kept is charged.
    fn used(&self) -> u64 {
        self.cache.used()
    }

    fn __len__(&self) -> usize {
        self.cache.len()
    }
}

#[pymethods]
impl Kept {
    #[getter]
    fn expires(&self) -> f64 {
        self.stored.expires
    }

    /// Counts that it was given while it was fresh; whether it is now due to be fetched anew.
    fn hit(&self, now: f64) -> bool {
        self.stored.hit(now)
    }

    /// The reply to this query, its question ending at `end`: whole records within `limit`.
    fn reply<'py>(
        &self,
        py: Python<'py>,
        query: &[u8],
        end: usize,
        size: u16,
        limit: usize,
        now: f64,
    ) -> PyResult<Bound<'py, PyBytes>> {
        if end < 12 || end > query.len() {
            return Err(PyValueError::new_err("the question ends elsewhere"));
        }
        let mut out = Vec::new();
        let ask = Ask { packet: query, end, size: (size > 0).then_some(size), limit };
        self.stored.reply(&ask, now, &mut out);
        Ok(PyBytes::new(py, &out))
    }
}
