//! `CopyReader`: drains a libpq connection through libpq's own functions, the interpreter lock released.
//!
//! psycopg owns the connection, its login and its TLS; `pgconn.pgconn_ptr` is documented for such use. Only the calls of the
//! PostgreSQL manual's "Functions Associated with the COPY Command" are made. Never blocks.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use libloading::{Library, Symbol};
use pyo3::exceptions::{PyImportError, PyIndexError, PyOSError, PyOverflowError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use tailrace_wire::chunk as wire;

/// Whole protocol messages in one buffer.
#[pyclass(frozen, module = "tailrace._native")]
pub struct Chunk {
    pub inner: Arc<wire::Chunk>,
}

#[pymethods]
impl Chunk {
    #[staticmethod]
    fn of(messages: Vec<Vec<u8>>) -> Self {
        Self { inner: Arc::new(messages.iter().map(Vec::as_slice).collect()) }
    }

    fn __len__(&self) -> usize {
        self.inner.len()
    }

    #[getter]
    fn nbytes(&self) -> usize {
        self.inner.nbytes()
    }

    fn __getitem__<'py>(&self, py: Python<'py>, index: usize) -> PyResult<Bound<'py, PyBytes>> {
        let message = self.inner.get(index).ok_or_else(|| PyIndexError::new_err("message index out of range"))?;
        Ok(PyBytes::new(py, message))
    }
}

type Conn = *mut c_void;

/// The functions of libpq that are called.
struct Libpq {
    get_copy_data: unsafe extern "C" fn(Conn, *mut *mut c_char, c_int) -> c_int,
    consume_input: unsafe extern "C" fn(Conn) -> c_int,
    free_mem: unsafe extern "C" fn(*mut c_void),
    error_message: unsafe extern "C" fn(Conn) -> *const c_char,
    socket: unsafe extern "C" fn(Conn) -> c_int,
    _library: Library,
}

impl Libpq {
    fn load(path: &Path) -> Result<Self, libloading::Error> {
        // SAFETY: the path is the libpq that psycopg has loaded already, so that no new initialiser runs; the signatures
        // are those of libpq-fe.h, unchanged since PostgreSQL 8.
        unsafe {
            let library = Library::new(path)?;
            let get_copy_data: Symbol<'_, _> = library.get(b"PQgetCopyData\0")?;
            let consume_input: Symbol<'_, _> = library.get(b"PQconsumeInput\0")?;
            let free_mem: Symbol<'_, _> = library.get(b"PQfreemem\0")?;
            let error_message: Symbol<'_, _> = library.get(b"PQerrorMessage\0")?;
            let socket: Symbol<'_, _> = library.get(b"PQsocket\0")?;
            Ok(Self {
                get_copy_data: *get_copy_data,
                consume_input: *consume_input,
                free_mem: *free_mem,
                error_message: *error_message,
                socket: *socket,
                _library: library,
            })
        }
    }
}

/// How a drain ended.
enum Drained {
    Waiting,
    Done,
    Over(Cause),
}

/// Why nothing more can be read.
#[derive(Clone)]
enum Cause {
    /// The connection is lost; libpq's words.
    Lost(String),
    /// A message beyond the limit, of so many bytes.
    Large(usize),
}

/// Drains a libpq connection in COPY OUT or COPY BOTH.
#[pyclass(module = "tailrace._native")]
pub struct CopyReader {
    libpq: Libpq,
    conn: usize,
    frame_bytes_max: usize,
    done: bool,
    /// Once over, always over: what was lost with the connection must not be read over.
    over: Option<Cause>,
}

impl CopyReader {
    fn take(&self, bytes_max: usize, chunk: &mut wire::Chunk) -> Drained {
        let conn = self.conn as Conn;
        loop {
            let mut buffer: *mut c_char = std::ptr::null_mut();
            // SAFETY: psycopg keeps the connection open while this object is used (its contract in `_native.pyi`), and only
            // the reader thread uses it; libpq gives a buffer of `length` bytes that is freed once.
            let length = unsafe { (self.libpq.get_copy_data)(conn, &raw mut buffer, 1) };
            match usize::try_from(length) {
                Ok(0) => match self.more(conn) {
                    Some(true) => {}
                    Some(false) => return Drained::Waiting,
                    None => return Drained::Over(Cause::Lost(self.error(conn))),
                },
                Ok(length) => {
                    // SAFETY: as above.
                    let message = unsafe { std::slice::from_raw_parts(buffer.cast::<u8>(), length) };
                    let fits = length <= self.frame_bytes_max;
                    if fits {
                        chunk.push(message);
                    }
                    // SAFETY: as above; `message` is not used any more.
                    unsafe { (self.libpq.free_mem)(buffer.cast()) };
                    if !fits {
                        return Drained::Over(Cause::Large(length));
                    }
                    if chunk.nbytes() >= bytes_max {
                        return Drained::Waiting;
                    }
                }
                Err(_) if length == -1 => return Drained::Done,
                Err(_) => return Drained::Over(Cause::Lost(self.error(conn))),
            }
        }
    }

    /// Let libpq read from the socket if something waits there; None when the connection broke.
    fn more(&self, conn: Conn) -> Option<bool> {
        // SAFETY: as in `take`.
        let fd = unsafe { (self.libpq.socket)(conn) };
        if fd < 0 {
            return None;
        }
        let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        // SAFETY: one valid pollfd, and no waiting.
        let ready = unsafe { libc::poll(&raw mut poll, 1, 0) };
        if ready <= 0 {
            return Some(false);
        }
        // SAFETY: as in `take`.
        (unsafe { (self.libpq.consume_input)(conn) } == 1).then_some(true)
    }

    fn error(&self, conn: Conn) -> String {
        // SAFETY: libpq gives a string that lives until the next call on the connection; it is copied at once.
        let text = unsafe { CStr::from_ptr((self.libpq.error_message)(conn)) };
        let text = text.to_string_lossy().trim().to_owned();
        if text.is_empty() { "connection lost".to_owned() } else { text }
    }

    fn raised(&self, cause: &Cause) -> PyErr {
        match cause {
            Cause::Lost(message) => PyOSError::new_err(message.clone()),
            Cause::Large(nbytes) => PyOverflowError::new_err(format!(
                "a message of {nbytes} bytes is larger than frame_bytes_max = {}",
                self.frame_bytes_max
            )),
        }
    }
}

#[pymethods]
impl CopyReader {
    #[new]
    #[pyo3(signature = (libpq, pgconn_ptr, *, frame_bytes_max))]
    fn new(libpq: PathBuf, pgconn_ptr: usize, frame_bytes_max: usize) -> PyResult<Self> {
        let loaded = Libpq::load(&libpq);
        let libpq = loaded.map_err(|error| PyImportError::new_err(format!("{}: {error}", libpq.display())))?;
        Ok(Self { libpq, conn: pgconn_ptr, frame_bytes_max, done: false, over: None })
    }

    /// Take all that waits, up to `bytes_max`.
    fn drain(&mut self, py: Python<'_>, bytes_max: usize) -> PyResult<Chunk> {
        let mut inner = wire::Chunk::default();
        if let Some(cause) = &self.over {
            return Err(self.raised(cause));
        }
        if self.done {
            return Ok(Chunk { inner: Arc::new(inner) });
        }
        let drained = py.detach(|| self.take(bytes_max, &mut inner));
        match drained {
            Drained::Waiting => {}
            Drained::Done => self.done = true,
            Drained::Over(cause) => {
                self.over = Some(cause.clone());
                // What came before the break is complete and worth keeping; the next drain raises.
                if inner.is_empty() {
                    return Err(self.raised(&cause));
                }
            }
        }
        Ok(Chunk { inner: Arc::new(inner) })
    }

    /// The server ended the COPY.
    #[getter]
    fn done(&self) -> bool {
        self.done
    }
}
