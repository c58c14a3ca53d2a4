//! Records that Debezium's connectors write beside the rows: the two ends of a transaction, and heartbeats. They are told
//! by all that they hold, since their topics may have any names: no row is taken for one because of where it lies.

use super::key::{Form, Key, Keys};
use super::source::Parts;
use crate::error::{Error, Result};

const TRANSACTION_KEY: &str = "io.debezium.connector.common.TransactionMetadataKey";
const SERVER_KEY: &str = "io.debezium.connector.common.ServerNameKey";
/// What topics of heartbeats begin with; what begins with two underscores is no table's.
const HEARTBEATS: &str = "__debezium-heartbeat";
const TRANSACTIONS: &str = ".transaction";

/// Whether a value that is no event is one of these, whose keys have one member each.
pub(super) fn is_control(parts: &Parts, form: Option<&Form>) -> bool {
    parts.is_end() && form.is_some_and(|form| form.is("id"))
        || parts.is_beat() && form.is_some_and(|form| form.is("serverName"))
}

/// Whether a key without a value is one of these, as they are among CloudEvents; `deletes` tells that rows with such keys
/// were read here.
///
/// # Errors
/// [`Error::Malformed`] for one that could be one of these and a delete just as well.
pub(super) fn is_bare(topic: &str, (key, keys): (Key<'_>, &Keys), deletes: bool) -> Result<bool> {
    let form = keys.form(key);
    match form.schema() {
        TRANSACTION_KEY | SERVER_KEY => return Ok(true),
        _ if form.is("serverName") && topic.starts_with(HEARTBEATS) => return Ok(true),
        _ => {}
    }
    if deletes {
        return Ok(false);
    }
    if form.is("serverName") && keys.text(key, "serverName")?.is_some() {
        return Err(Error::malformed(
            "a key without a value: a heartbeat among CloudEvents, or a delete. Leave this topic out, or let its name \
             begin with __debezium-heartbeat",
            0,
        ));
    }
    let alike = topic.ends_with(TRANSACTIONS) && form.is("id");
    if alike && keys.text(key, "id")?.as_deref().is_some_and(is_place) {
        return Err(Error::malformed(
            "a key without a value: the end of a transaction among CloudEvents, or a delete. Leave this topic out, or \
             write it without provide_transaction_metadata",
            0,
        ));
    }
    Ok(false)
}

/// A transaction's id as `PostgreSQL`'s connector writes it: its number, and a place in the log.
fn is_place(text: &str) -> bool {
    let number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    text.split_once(':').is_some_and(|(xid, lsn)| number(xid) && number(lsn))
}
