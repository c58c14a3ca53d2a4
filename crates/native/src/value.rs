//! A cell as a Python value, and back.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString};
use tailrace_wire::batch::Cell;
use tailrace_wire::table::Type;

/// The type of `UNCHANGED`: a TOASTed cell that the server did not send because the update left it as it was.
#[pyclass(frozen, module = "tailrace._native")]
pub struct Unchanged;

#[pymethods]
impl Unchanged {
    #[allow(clippy::unused_self)]
    fn __bool__(&self) -> bool {
        false
    }

    #[allow(clippy::unused_self)]
    fn __repr__(&self) -> &'static str {
        "UNCHANGED"
    }

    #[allow(clippy::unused_self)]
    fn __reduce__(&self) -> &'static str {
        "UNCHANGED"
    }
}

static UNCHANGED: PyOnceLock<Py<Unchanged>> = PyOnceLock::new();

/// The one `UNCHANGED`.
pub fn unchanged(py: Python<'_>) -> PyResult<Py<Unchanged>> {
    UNCHANGED.get_or_try_init(py, || Py::new(py, Unchanged)).map(|object| object.clone_ref(py))
}

/// Constructors of the standard library, looked up once.
struct Makers {
    decimal: Py<PyAny>,
    date: Py<PyAny>,
    time: Py<PyAny>,
    datetime: Py<PyAny>,
    uuid: Py<PyAny>,
    new_object: Py<PyAny>,
    uuid_int: Py<PyAny>,
    uuid_safe: Py<PyAny>,
    uuid_unknown: Py<PyAny>,
    json: Py<PyAny>,
    json_dumps: Py<PyAny>,
}

static MAKERS: PyOnceLock<Makers> = PyOnceLock::new();

fn makers(py: Python<'_>) -> PyResult<&Makers> {
    MAKERS.get_or_try_init(py, || {
        let datetime = py.import("datetime")?;
        let uuid = py.import("uuid")?;
        let class = uuid.getattr("UUID")?;
        Ok(Makers {
            decimal: py.import("decimal")?.getattr("Decimal")?.unbind(),
            date: datetime.getattr("date")?.getattr("fromisoformat")?.unbind(),
            time: datetime.getattr("time")?.getattr("fromisoformat")?.unbind(),
            datetime: datetime.getattr("datetime")?.getattr("fromisoformat")?.unbind(),
            new_object: py.import("builtins")?.getattr("object")?.getattr("__new__")?.unbind(),
            uuid_int: class.getattr("int")?.getattr("__set__")?.unbind(),
            uuid_safe: class.getattr("is_safe")?.getattr("__set__")?.unbind(),
            uuid_unknown: uuid.getattr("SafeUUID")?.getattr("unknown")?.unbind(),
            uuid: class.unbind(),
            json: py.import("json")?.getattr("loads")?.unbind(),
            json_dumps: py.import("json")?.getattr("dumps")?.unbind(),
        })
    })
}

/// The cell as the server sent it: str, None or UNCHANGED.
pub fn raw<'py>(py: Python<'py>, cell: Cell<'_>) -> PyResult<Bound<'py, PyAny>> {
    match cell {
        Cell::Null => Ok(py.None().into_bound(py)),
        Cell::Unchanged => Ok(unchanged(py)?.into_bound(py).into_any()),
        Cell::Text(text) => string(py, text),
    }
}

fn string<'py>(py: Python<'py>, text: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    Ok(PyString::from_bytes(py, text)?.into_any())
}

/// The cell as a Python value; what does not fit the Python type (infinity, BC, 24:00) stays text.
pub fn value<'py>(py: Python<'py>, cell: Cell<'_>, kind: &Type) -> PyResult<Bound<'py, PyAny>> {
    match cell {
        Cell::Text(text) => from_text(py, text, kind),
        Cell::Null | Cell::Unchanged => raw(py, cell),
    }
}

fn from_text<'py>(py: Python<'py>, bytes: &[u8], kind: &Type) -> PyResult<Bound<'py, PyAny>> {
    let text = || String::from_utf8_lossy(bytes);
    let lenient = |made: PyResult<Bound<'py, PyAny>>| made.or_else(|_| string(py, bytes));
    match kind {
        Type::Bool => Ok(PyBool::new(py, bytes == b"t").to_owned().into_any()),
        Type::Int2 | Type::Int4 | Type::Int8 | Type::Oid => match text().parse::<i64>() {
            Ok(number) => Ok(number.into_pyobject(py)?.into_any()),
            Err(_) => string(py, bytes),
        },
        Type::Float4 | Type::Float8 => match text().parse::<f64>() {
            Ok(number) => Ok(PyFloat::new(py, number).into_any()),
            Err(_) => string(py, bytes),
        },
        Type::Numeric(_) => lenient(makers(py)?.decimal.bind(py).call1((string(py, bytes)?,))),
        Type::Bytea => Ok(match bytes.strip_prefix(b"\\x").and_then(unhex) {
            Some(raw) => PyBytes::new(py, &raw).into_any(),
            None => string(py, bytes)?,
        }),
        Type::Date => lenient(makers(py)?.date.bind(py).call1((string(py, bytes)?,))),
        // Python 3.14 would read the end of a day as its beginning.
        Type::Time(_) | Type::TimeTz(_) if bytes.starts_with(b"24") => string(py, bytes),
        Type::Time(_) | Type::TimeTz(_) => lenient(makers(py)?.time.bind(py).call1((string(py, bytes)?,))),
        Type::Timestamp(_) | Type::TimestampTz(_) => {
            lenient(makers(py)?.datetime.bind(py).call1((string(py, bytes)?,)))
        }
        Type::Uuid => uuid(py, bytes),
        Type::Json | Type::Jsonb => lenient(makers(py)?.json.bind(py).call1((string(py, bytes)?,))),
        Type::Array(element) => array(py, bytes, element),
        _ => string(py, bytes),
    }
}

/// `uuid.UUID` without its checking constructor, which would cost more than the rest of a row.
fn uuid<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let digits: Vec<u8> = bytes.iter().copied().filter(|byte| *byte != b'-').collect();
    let number = std::str::from_utf8(&digits).ok().filter(|text| text.len() == 32);
    let Some(number) = number.and_then(|text| u128::from_str_radix(text, 16).ok()) else {
        return string(py, bytes);
    };
    let makers = makers(py)?;
    let made = makers.new_object.bind(py).call1((makers.uuid.bind(py),))?;
    makers.uuid_int.bind(py).call1((&made, number))?;
    makers.uuid_safe.bind(py).call1((&made, makers.uuid_unknown.bind(py)))?;
    Ok(made)
}

fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| (byte as char).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    if !text.len().is_multiple_of(2) {
        return None;
    }
    text.chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

/// An array literal as nested lists; lower bounds are dropped, as psycopg does.
fn array<'py>(py: Python<'py>, bytes: &[u8], element: &Type) -> PyResult<Bound<'py, PyAny>> {
    let body = match bytes.first() {
        Some(b'[') => bytes.iter().position(|byte| *byte == b'=').map_or(bytes, |at| &bytes[at + 1..]),
        _ => bytes,
    };
    let mut at = 0;
    match list(py, body, &mut at, element, 0)? {
        Some(list) if at == body.len() => Ok(list.into_any()),
        _ => string(py, bytes),
    }
}

const DEPTH_MAX: usize = 8;

fn list<'py>(
    py: Python<'py>,
    body: &[u8],
    at: &mut usize,
    element: &Type,
    depth: usize,
) -> PyResult<Option<Bound<'py, PyList>>> {
    if body.get(*at) != Some(&b'{') || depth > DEPTH_MAX {
        return Ok(None);
    }
    *at += 1;
    let items = PyList::empty(py);
    if body.get(*at) == Some(&b'}') {
        *at += 1;
        return Ok(Some(items));
    }
    loop {
        if body.get(*at) == Some(&b'{') {
            match list(py, body, at, element, depth + 1)? {
                Some(inner) => items.append(inner)?,
                None => return Ok(None),
            }
        } else {
            match item(body, at) {
                Some((text, false)) if text == b"NULL" => items.append(py.None())?,
                Some((text, _)) => items.append(from_text(py, &text, element)?)?,
                None => return Ok(None),
            }
        }
        match body.get(*at) {
            Some(b',') => *at += 1,
            Some(b'}') => {
                *at += 1;
                return Ok(Some(items));
            }
            _ => return Ok(None),
        }
    }
}

/// One array element and whether it was quoted.
fn item(body: &[u8], at: &mut usize) -> Option<(Vec<u8>, bool)> {
    let quoted = body.get(*at) == Some(&b'"');
    *at += usize::from(quoted);
    let mut text = Vec::new();
    loop {
        match *body.get(*at)? {
            b'\\' => {
                text.push(*body.get(*at + 1)?);
                *at += 2;
            }
            b'"' if quoted => {
                *at += 1;
                return Some((text, true));
            }
            b',' | b'}' if !quoted => return Some((text, false)),
            byte => {
                text.push(byte);
                *at += 1;
            }
        }
    }
}

/// Whether a cell reads as this very value: not 1 for true, not 1.0 for 1.00.
pub fn reads_as(object: &Bound<'_, PyAny>, cell: Cell<'_>, kind: &Type) -> bool {
    let same = || -> PyResult<bool> {
        let held = value(object.py(), cell, kind)?;
        Ok(held.is(object) || (held.get_type().is(object.get_type()) && held.repr()?.as_any().eq(object.repr()?)?))
    };
    same().unwrap_or(false) // A value without a repr is not one of ours.
}

/// A Python value as the server would print it; None for SQL null.
///
/// Accepts what [`value`] gives, and text as it is; for json and jsonb text is a JSON string.
pub fn text(object: &Bound<'_, PyAny>, kind: &Type) -> PyResult<Written> {
    if object.is_none() {
        return Ok(Written::Null);
    }
    if object.is_instance_of::<Unchanged>() {
        return Ok(Written::Unchanged);
    }
    if let Type::Array(element) = kind
        && let Ok(items) = object.cast::<PyList>()
    {
        let mut literal = String::new();
        write_array(items, element, &mut literal)?;
        return Ok(Written::Text(literal));
    }
    if is_json(kind) {
        let text = makers(object.py())?.json_dumps.bind(object.py()).call1((object,))?;
        return Ok(Written::Text(text.extract()?));
    }
    scalar(object).map(Written::Text)
}

/// What [`text`] made of a value.
pub enum Written {
    Null,
    Unchanged,
    Text(String),
}

impl Written {
    pub fn cell(&self) -> Cell<'_> {
        match self {
            Self::Null => Cell::Null,
            Self::Unchanged => Cell::Unchanged,
            Self::Text(text) => Cell::Text(text.as_bytes()),
        }
    }
}

fn is_json(kind: &Type) -> bool {
    matches!(kind, Type::Json | Type::Jsonb)
}

fn scalar(object: &Bound<'_, PyAny>) -> PyResult<String> {
    if let Ok(flag) = object.cast::<PyBool>() {
        return Ok(if flag.is_true() { "t" } else { "f" }.to_owned());
    }
    if let Ok(bytes) = object.cast::<PyBytes>() {
        let digits = bytes.as_bytes().iter().map(|byte| format!("{byte:02x}"));
        return Ok(format!("\\x{}", digits.collect::<String>()));
    }
    if object.is_instance_of::<PyFloat>() {
        let number: f64 = object.extract()?;
        return Ok(match number {
            number if number.is_nan() => "NaN".to_owned(),
            number if number.is_infinite() => if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned(),
            _ => object.str()?.to_string(),
        });
    }
    if object.is_instance_of::<PyDict>() || object.is_instance_of::<PyList>() {
        return Err(PyTypeError::new_err("a list or dict fits only array, json and jsonb columns"));
    }
    if object.is_instance_of::<PyString>() || object.is_instance_of::<PyInt>() {
        return Ok(object.str()?.to_string());
    }
    if object.is_instance(makers(object.py())?.decimal.bind(object.py()))? {
        // The server prints no exponents, and str() of a Decimal does.
        return object.call_method1("__format__", ("f",))?.extract();
    }
    match object.call_method1("isoformat", (" ",)) {
        Ok(text) => text.extract(),
        Err(_) => match object.call_method0("isoformat") {
            Ok(text) => text.extract(),
            Err(_) => Ok(object.str()?.to_string()),
        },
    }
}

fn write_array(items: &Bound<'_, PyList>, element: &Type, literal: &mut String) -> PyResult<()> {
    literal.push('{');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            literal.push(',');
        }
        if !is_json(element) // a list is one element there
            && let Ok(inner) = item.cast::<PyList>()
        {
            write_array(inner, element, literal)?;
            continue;
        }
        match text(&item, element)? {
            Written::Text(text) => {
                literal.push('"');
                literal.push_str(&text.replace('\\', "\\\\").replace('"', "\\\""));
                literal.push('"');
            }
            Written::Null | Written::Unchanged => literal.push_str("NULL"),
        }
    }
    literal.push('}');
    Ok(())
}
