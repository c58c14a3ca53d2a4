//! `DebeziumJson`, and `Encoded`: the records of one segment in one buffer.

use std::ffi::{c_int, c_void};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use pyo3::exceptions::{PyBufferError, PyIndexError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString};
use tailrace_wire::batch::Part;
use tailrace_wire::encode as wire;
use tailrace_wire::encode::debezium::{Course, Encoder, Half, Profile};
use tailrace_wire::encode::smt::Guarded;

use crate::batch::Batch;
use crate::error::raise;
use crate::script::{Court, Scripts};

/// Buffers that were filled once and can be filled again: fresh ones would cost a page fault every 4 kB.
type Pool = Arc<Mutex<Vec<wire::Encoded>>>;
const POOL_MAX: usize = 2;

/// A Debezium JSON profile with its encoding plans.
#[pyclass(frozen, module = "tailrace._native")]
pub struct DebeziumJson {
    encoder: Mutex<Encoder>,
    scripts: Scripts,
    pool: Pool,
}

impl DebeziumJson {
    fn encode(
        &self,
        batch: &tailrace_wire::batch::Batch,
        part: usize,
        course: &mut Course,
    ) -> tailrace_wire::error::Result<wire::Encoded> {
        let mut out = self.pool.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        course.now_ns = i64::try_from(since.as_nanos()).unwrap_or(i64::MAX);
        course.last = part + 1 >= batch.parts().len();
        let segment = batch.parts().get(part).map(Part::load).transpose()?;
        let mut encoder = self.encoder.lock().unwrap_or_else(PoisonError::into_inner);
        match segment {
            Some(segment) => {
                let mut court = Court::new(&self.scripts, &segment, course.change);
                encoder.encode_next(&segment, course, &mut court, &mut out)?;
            }
            None => encoder.encode_idle(course.now_ns, &mut out)?,
        }
        Ok(out)
    }
}

#[pymethods]
impl DebeziumJson {
    #[new]
    #[pyo3(signature = (options, *, run_id="", transforms=vec![]))]
    fn new(
        options: &Bound<'_, PyDict>,
        run_id: &str,
        transforms: Vec<(String, Bound<'_, PyDict>, Option<Py<PyAny>>)>,
    ) -> PyResult<Self> {
        let options = texts(options)?;
        let given = options.iter().map(|(name, text)| (name.as_str(), text.as_str()));
        let mut profile = Profile::parse(given).map_err(PyValueError::new_err)?;
        run_id.clone_into(&mut profile.run_id);
        let (mut steps, mut scripts) = (Vec::new(), Vec::new());
        for (kind, options, script) in transforms {
            steps.push(Guarded::parse(&kind, &texts(&options)?).map_err(PyValueError::new_err)?);
            scripts.push(script);
        }
        let encoder = Mutex::new(Encoder::new(profile).transforming(steps));
        Ok(Self { encoder, scripts, pool: Pool::default() })
    }

    /// Tell the id of a schema that encoding asked for.
    fn register(&self, version: u64, half: &str, id: u32) -> PyResult<()> {
        let half = match half {
            "key" => Half::Key,
            "value" => Half::Value,
            _ => return Err(PyValueError::new_err("a half is key or value")),
        };
        self.encoder.lock().unwrap_or_else(PoisonError::into_inner).register(version, half, id);
        Ok(())
    }
}

fn texts(options: &Bound<'_, PyDict>) -> PyResult<Vec<(String, String)>> {
    options.iter().map(|(name, text)| Ok((name.extract()?, text.extract()?))).collect()
}

/// One `Encoded` for each segment of a batch, and one for a batch without changes when it is time for a heartbeat.
#[pyclass(module = "tailrace._native")]
pub struct Encodings {
    batch: Py<Batch>,
    profile: Py<DebeziumJson>,
    part: usize,
    course: Course,
}

impl Encodings {
    pub fn new(batch: Py<Batch>, profile: Py<DebeziumJson>) -> Self {
        Self { batch, profile, part: 0, course: Course::default() }
    }
}

#[pymethods]
impl Encodings {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&mut self, py: Python<'_>) -> PyResult<Option<Encoded>> {
        let batch = &self.batch.get().inner;
        if self.part >= batch.parts().len().max(1) {
            return Ok(None);
        }
        let (profile, index, course) = (self.profile.get(), self.part, &mut self.course);
        let inner = py.detach(|| profile.encode(batch, index, course)).map_err(|error| raise(py, error))?;
        self.part += 1;
        let encoded = Encoded { inner, pool: Arc::clone(&profile.pool) };
        Ok((!batch.is_empty() || !encoded.inner.is_empty()).then_some(encoded))
    }
}

/// The records of one segment in one buffer.
#[pyclass(frozen, module = "tailrace._native")]
pub struct Encoded {
    inner: wire::Encoded,
    pool: Pool,
}

impl Drop for Encoded {
    fn drop(&mut self) {
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        if pool.len() < POOL_MAX {
            pool.push(std::mem::take(&mut self.inner));
        }
    }
}

impl Encoded {
    fn record(&self, index: usize) -> PyResult<&wire::Record> {
        self.inner.records().get(index).ok_or_else(|| PyIndexError::new_err("record index out of range"))
    }
}

impl Encoded {
    /// Headers as Connect's `SimpleHeaderConverter` writes them: a text stands as it is, all else as JSON.
    fn raw_headers<'py>(&self, py: Python<'py>, index: usize) -> PyResult<Bound<'py, PyList>> {
        let pair = |(name, value): (&[u8], &[u8])| {
            let value = match value.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\"")) {
                Some(text) if text.contains(&b'\\') => {
                    let text = py.import("json")?.call_method1("loads", (PyBytes::new(py, value),))?;
                    text.call_method0("encode")?.cast_into::<PyBytes>()?
                }
                text => PyBytes::new(py, text.unwrap_or(value)),
            };
            Ok((PyString::from_bytes(py, name)?, value))
        };
        PyList::new(py, self.inner.headers(self.record(index)?).map(pair).collect::<PyResult<Vec<_>>>()?)
    }
}

#[pymethods]
impl Encoded {
    fn __len__(&self) -> usize {
        self.inner.len()
    }

    #[getter]
    fn nbytes(&self) -> usize {
        self.inner.bytes.len()
    }

    fn topic<'py>(&self, py: Python<'py>, index: usize) -> PyResult<Bound<'py, PyString>> {
        PyString::from_bytes(py, self.inner.topic(self.record(index)?))
    }

    fn key<'py>(&self, py: Python<'py>, index: usize) -> PyResult<Option<Bound<'py, PyBytes>>> {
        Ok(self.inner.key(self.record(index)?).map(|bytes| PyBytes::new(py, bytes)))
    }

    fn value<'py>(&self, py: Python<'py>, index: usize) -> PyResult<Option<Bound<'py, PyBytes>>> {
        Ok(self.inner.value(self.record(index)?).map(|bytes| PyBytes::new(py, bytes)))
    }

    fn headers<'py>(&self, py: Python<'py>, index: usize) -> PyResult<Bound<'py, PyList>> {
        let pair = |(name, value): (&[u8], &[u8])| Ok((PyString::from_bytes(py, name)?, PyBytes::new(py, value)));
        let record = self.record(index)?;
        PyList::new(py, self.inner.headers(record).map(pair).collect::<PyResult<Vec<_>>>()?)
    }

    fn change(&self, index: usize) -> PyResult<usize> {
        Ok(self.record(index)?.change)
    }

    #[getter]
    fn largest(&self) -> usize {
        let records = self.inner.records().iter();
        let headers =
            |record| -> usize { self.inner.headers(record).map(|(name, value)| name.len() + value.len()).sum() };
        records.map(|record| record.key_len as usize + record.value_len as usize + headers(record)).max().unwrap_or(0)
    }

    /// Every record as (topic, value, key, headers); neighbours of one topic share its text.
    fn messages<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let out = PyList::empty(py);
        let mut topic: Option<(&[u8], Bound<'py, PyString>)> = None;
        for (index, record) in self.inner.records().iter().enumerate() {
            let name = self.inner.topic(record);
            let shared = match topic.take() {
                Some(last) if last.0 == name => last,
                _ => (name, PyString::from_bytes(py, name)?),
            };
            let value = self.inner.value(record).map(|bytes| PyBytes::new(py, bytes));
            let key = self.inner.key(record).map(|bytes| PyBytes::new(py, bytes));
            let headers = if record.headers > 0 { Some(self.raw_headers(py, index)?) } else { None };
            out.append((&shared.1, value, key, headers))?;
            topic = Some(shared);
        }
        Ok(out)
    }

    #[getter]
    fn routed(&self) -> bool {
        self.inner.records().iter().any(|record| record.partition.is_some())
    }

    fn partition(&self, index: usize) -> PyResult<Option<u32>> {
        Ok(self.record(index)?.partition)
    }

    /// The whole buffer, read-only, as unsigned bytes.
    ///
    /// # Safety
    /// `view` comes from the interpreter. The bytes are never changed while `slf` lives, and `view` keeps `slf` alive.
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        if view.is_null() || flags & ffi::PyBUF_WRITABLE == ffi::PyBUF_WRITABLE {
            return Err(PyBufferError::new_err("an Encoded is read-only"));
        }
        if !slf.get().inner.has_lines() {
            return Err(PyBufferError::new_err("keys or values that are no JSON make no lines"));
        }
        let bytes = &slf.get().inner.bytes;
        let data = bytes.as_ptr() as *mut c_void;
        let len = isize::try_from(bytes.len()).map_err(|_| PyBufferError::new_err("too large"))?;
        // SAFETY: see above; PyBuffer_FillInfo takes its own reference to `slf`.
        match unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), data, len, 1, flags) } {
            0 => Ok(()),
            _ => Err(PyErr::fetch(slf.py())),
        }
    }
}
