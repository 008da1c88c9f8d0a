//! What was packed before it is put in force: by the thread that compiled it, and not in the loop.
//!
//! Rules: by identity. Each value is held until what was made of it is put in force, or so many others came.

use pyo3::prelude::*;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// What was prepared and never put in force may lie here.
const MOST: usize = 8192;

pub struct Prepared<T> {
    known: HashMap<usize, (Py<PyAny>, Arc<T>)>,
    order: VecDeque<usize>,
    used: Vec<usize>,
}

impl<T> Default for Prepared<T> {
    fn default() -> Self {
        Prepared { known: HashMap::new(), order: VecDeque::new(), used: Vec::new() }
    }
}

impl<T> Prepared<T> {
    pub fn put(&mut self, value: &Bound<PyAny>, packed: Arc<T>) {
        let at = value.as_ptr() as usize;
        self.known.insert(at, (value.clone().unbind(), packed));
        self.order.push_back(at);
        while self.order.len() > MOST {
            self.order.pop_front().map(|first| self.known.remove(&first));
        }
    }

    /// What was made of a value; let go of by `sweep`, since several may ask for the same.
    pub fn find(&mut self, value: &Bound<PyAny>) -> Option<Arc<T>> {
        let at = value.as_ptr() as usize;
        let (_, packed) = self.known.get(&at)?;
        self.used.push(at);
        Some(packed.clone())
    }

    /// Lets go of all that was found.
    pub fn sweep(&mut self) {
        for at in self.used.drain(..) {
            self.known.remove(&at);
        }
        if self.known.is_empty() {
            self.order.clear();
        }
    }

    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.known.values().map(|(_, packed)| &**packed)
    }

    pub fn len(&self) -> usize {
        self.known.len()
    }
}
