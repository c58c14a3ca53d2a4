//! Conditions in Python: what the wire crate asks for a record, a Python function answers.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyBytes, PyDict, PyList, PyString};
use tailrace_wire::batch::Segment;
use tailrace_wire::encode::connect::Value;
use tailrace_wire::encode::smt::{Answer, Judge, Part, Question};

use crate::batch::{change, tables};
use crate::table::Table;

/// The functions of a profile, by the place of their transform; None for transforms that are Rust's.
pub type Scripts = Vec<Option<Py<PyAny>>>;

/// Answers for the records of one segment.
pub struct Court<'a> {
    scripts: &'a Scripts,
    segment: &'a Arc<Segment>,
    base: usize,
    tables: PyOnceLock<Vec<Py<Table>>>,
}

impl<'a> Court<'a> {
    /// `base` is the index of the segment's first change in the batch.
    pub fn new(scripts: &'a Scripts, segment: &'a Arc<Segment>, base: usize) -> Self {
        Self { scripts, segment, base, tables: PyOnceLock::new() }
    }

    fn ask(&self, py: Python<'_>, question: &Question<'_>) -> PyResult<Option<Answer>> {
        let Some(Some(script)) = self.scripts.get(question.step) else { return Ok(None) };
        let tables = self.tables.get_or_try_init(py, || tables(py, self.segment))?;
        let change = change(py, self.segment, question.change - self.base, tables);
        let part = match question.record.part {
            Part::Event => "event",
            Part::OldKey => "old_key",
            Part::NewKey => "new_key",
            Part::Tombstone => "tombstone",
            Part::OldTombstone => "old_tombstone",
            Part::Control => return Ok(Some(Answer::Keep)), // it is never asked about
        };
        let headers = PyDict::new(py);
        for (name, value) in question.headers {
            headers.set_item(name, object(py, value)?)?;
        }
        let names = PyDict::new(py);
        names.set_item("topic", &question.record.topic)?;
        names.set_item("headers", headers)?;
        let answer = script.bind(py).call1((change, part, names))?;
        Ok(if answer.is_none() {
            Some(Answer::Keep)
        } else if let Ok(keep) = answer.cast::<PyBool>() {
            Some(if keep.is_true() { Answer::Keep } else { Answer::Drop })
        } else {
            answer.cast::<PyString>().ok().map(|topic| Answer::Topic(topic.to_string()))
        })
    }
}

impl Judge for Court<'_> {
    /// What an exception says may hold values: only its class is told (I9).
    fn judge(&mut self, question: &Question<'_>) -> Result<Answer, String> {
        let place = question.step + 1;
        Python::attach(|py| match self.ask(py, question) {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err(format!("the expression of transform {place} gave another type than it must")),
            Err(error) => {
                let class = error.get_type(py).name().map_or_else(|_| "an exception".into(), |name| name.to_string());
                Err(format!("the expression of transform {place} raised {class}"))
            }
        })
    }
}

/// A header's value in Python.
fn object<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Null => py.None().into_bound(py),
        Value::Boolean(value) => PyBool::new(py, *value).to_owned().into_any(),
        Value::Integer(value) => value.into_pyobject(py)?.into_any(),
        Value::Single(value) => value.into_pyobject(py)?.into_any(),
        Value::Double(value) => value.into_pyobject(py)?.into_any(),
        Value::String(text) => PyString::new(py, text).into_any(),
        Value::Bytes(bytes) => PyBytes::new(py, bytes).into_any(),
        Value::List(values) => {
            let values = values.iter().map(|(_, value)| object(py, value));
            PyList::new(py, values.collect::<PyResult<Vec<_>>>()?)?.into_any()
        }
        Value::Struct(_) | Value::Map(..) => py.None().into_bound(py),
    })
}
