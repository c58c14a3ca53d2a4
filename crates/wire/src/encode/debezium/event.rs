//! A whole event in any format, member by member. JSON's own way (`envelope`) copies most of an event from what its
//! transaction has in common; a test holds the two together.

use super::codec::Scratch;
use super::envelope::{VERSION, snapshot};
use super::form::Spell;
use super::plan::{Fault, Plan};
use super::profile::Profile;
use super::transaction::Block;
use super::{Refusal, binary};
use crate::batch::{FLAG_TRANSACTIONAL, OldImage, Op, RowRef, Segment, Tuple};
use crate::encode::connect::{Field, Format, Written};
use crate::position::Phase;

static BEFORE: Field = Field::fixed(0, b"\"before\":", true);
static AFTER: Field = Field::fixed(1, b",\"after\":", true);
static SOURCE: Field = Field::fixed(2, b",\"source\":", false);
static TRANSACTION: Field = Field::fixed(3, b",\"transaction\":", true);
static OP: Field = Field::fixed(4, b",\"op\":", false);
static TS_MS: Field = Field::fixed(5, b",\"ts_ms\":", true);
static TS_US: Field = Field::fixed(6, b",\"ts_us\":", true);
static TS_NS: Field = Field::fixed(7, b",\"ts_ns\":", true);

/// What an event is made of.
#[derive(Debug)]
pub struct Event<'a> {
    /// The change.
    pub row: &'a RowRef<'a>,
    /// The operation that the event names: a changed key makes two events of an update.
    pub op: Op,
    /// The row images that it shows.
    pub images: [Option<Tuple<'a>>; 2],
    /// The options.
    pub profile: &'a Profile,
    /// When it is processed, nanoseconds since the Unix epoch.
    pub now_ns: i64,
    /// Its place in its transaction, if that is told.
    pub(super) block: Option<Block>,
}

impl Event<'_> {
    /// Write the event.
    ///
    /// # Errors
    /// A cell that cannot be written.
    pub fn write<F: Format>(
        &self,
        plan: &Plan,
        segment: &Segment,
        scratch: &mut Scratch,
        out: &mut F,
    ) -> Result<(), Fault> {
        let [before, after] = self.images;
        let image = self.row.entry().old_image;
        out.begin_struct();
        out.field(&BEFORE);
        match before {
            Some(before) => plan.write_row(before, image == OldImage::Key, None, scratch, out)?,
            None => out.null(),
        }
        out.field(&AFTER);
        match after {
            Some(after) => {
                let full = if image == OldImage::Full { self.row.before() } else { None };
                plan.write_row(after, false, full, scratch, out)?;
            }
            None => out.null(),
        }
        out.field(&SOURCE);
        self.write_source(segment, true, out);
        self.write_block(out);
        out.field(&OP);
        text(&[self.op as u8], out);
        for (field, unit) in [(&TS_MS, 1_000_000), (&TS_US, 1000), (&TS_NS, 1)] {
            out.field(field);
            out.integer(self.now_ns.div_euclid(unit));
        }
        out.end_struct();
        Ok(())
    }

    /// Write the event of a message: its prefix and content.
    ///
    /// # Errors
    /// When the prefix is not UTF-8.
    pub fn write_message<F: Format>(&self, message: (&[u8], &[u8]), segment: &Segment, out: &mut F) -> Written {
        let (prefix, content) = message;
        out.begin_struct();
        out.field(&MESSAGE_OP);
        text(b"m", out);
        number(&MESSAGE_MS, self.now_ns.div_euclid(1_000_000), out);
        out.field(&SOURCE);
        self.write_source(segment, self.row.entry().flags & FLAG_TRANSACTIONAL != 0, out);
        self.write_block(out);
        out.field(&MESSAGE);
        out.begin_struct();
        out.field(&PREFIX);
        out.string(prefix)?;
        out.field(&CONTENT);
        binary::handled(content, self.profile.binary, out)?;
        out.end_struct();
        out.end_struct();
        Ok(())
    }

    fn write_block<F: Format>(&self, out: &mut F) {
        out.field(&TRANSACTION);
        match self.block {
            Some(block) => block.write(out),
            None => out.null(),
        }
    }

    /// Write the source block. A message may come without a transaction.
    pub fn write_source<F: Format>(&self, segment: &Segment, transactional: bool, out: &mut F) {
        let (txn, entry, origin) = (self.row.txn(), self.row.entry(), segment.origin());
        let at_snapshot = txn.phase == Phase::Snapshot;
        let lsn = if at_snapshot { txn.lsn } else { entry.lsn };
        let committed = if at_snapshot { "null".to_owned() } else { format!("\"{}\"", txn.lsn) };
        let (schema, table) = self.row.table().map_or(("", ""), |table| (&table.schema, &table.name));
        out.begin_struct();
        for (field, value) in
            [&VERSION_, &CONNECTOR, &NAME].into_iter().zip([VERSION, &origin.connector, &self.profile.topic_prefix])
        {
            out.field(field);
            text(value.as_bytes(), out);
        }
        number(&SOURCE_MS, txn.at_us.div_euclid(1000), out);
        out.field(&SNAPSHOT);
        text(snapshot(entry.snapshot), out);
        out.field(&DB);
        text(origin.database.as_bytes(), out);
        out.field(&SEQUENCE);
        text(format!("[{committed},\"{lsn}\"]").as_bytes(), out);
        number(&SOURCE_US, txn.at_us, out);
        number(&SOURCE_NS, txn.at_us.wrapping_mul(1000), out);
        out.field(&SCHEMA);
        text(schema.as_bytes(), out);
        out.field(&TABLE);
        text(table.as_bytes(), out);
        out.field(&TX_ID);
        if txn.xid > 0 && transactional {
            out.integer(i64::from(txn.xid))
        } else {
            out.null()
        }
        number(&LSN, lsn.cast_signed(), out);
        out.field(&XMIN);
        out.null();
        out.field(&ORIGIN);
        match &txn.origin {
            Some((origin, lsn)) => {
                text(origin.as_bytes(), out);
                number(&ORIGIN_LSN, lsn.cast_signed(), out);
            }
            None => {
                out.null();
                out.field(&ORIGIN_LSN);
                out.null();
            }
        }
        out.end_struct();
    }
}

/// An event of a row.
pub(super) struct OfRow<'a> {
    pub(super) event: Event<'a>,
    pub(super) plan: &'a Plan,
    pub(super) scratch: &'a mut Scratch,
}

impl Spell for OfRow<'_> {
    fn spell<F: Format>(self, out: &mut F) -> Result<(), Refusal> {
        Ok(self.event.write(self.plan, self.event.row.segment(), self.scratch, out)?)
    }
}

/// An event of a message: its prefix and content.
pub(super) struct OfMessage<'a> {
    pub(super) event: Event<'a>,
    pub(super) message: (&'a [u8], &'a [u8]),
}

impl Spell for OfMessage<'_> {
    fn spell<F: Format>(self, out: &mut F) -> Result<(), Refusal> {
        self.event.write_message(self.message, self.event.row.segment(), out).map_err(Refusal::Row)
    }
}

/// The key of a message: its prefix.
pub(super) struct Prefix<'a>(pub(super) &'a [u8]);

impl Spell for Prefix<'_> {
    fn spell<F: Format>(self, out: &mut F) -> Result<(), Refusal> {
        out.begin_struct();
        out.field(&PREFIX);
        out.string(self.0).map_err(|_| Refusal::Row("a message whose prefix is not UTF-8"))?;
        out.end_struct();
        Ok(())
    }
}

static MESSAGE_OP: Field = Field::fixed(0, b"\"op\":", false);
static MESSAGE_MS: Field = Field::fixed(1, b",\"ts_ms\":", true);
static MESSAGE: Field = Field::fixed(4, b",\"message\":", false);
static PREFIX: Field = Field::fixed(0, b"\"prefix\":", true);
static CONTENT: Field = Field::fixed(1, b",\"content\":", true);

static VERSION_: Field = Field::fixed(0, b"\"version\":", false);
static CONNECTOR: Field = Field::fixed(1, b",\"connector\":", false);
static NAME: Field = Field::fixed(2, b",\"name\":", false);
static SOURCE_MS: Field = Field::fixed(3, b",\"ts_ms\":", false);
static SNAPSHOT: Field = Field::fixed_default(4, b",\"snapshot\":");
static DB: Field = Field::fixed(5, b",\"db\":", false);
static SEQUENCE: Field = Field::fixed(6, b",\"sequence\":", true);
static SOURCE_US: Field = Field::fixed(7, b",\"ts_us\":", true);
static SOURCE_NS: Field = Field::fixed(8, b",\"ts_ns\":", true);
static SCHEMA: Field = Field::fixed(9, b",\"schema\":", false);
static TABLE: Field = Field::fixed(10, b",\"table\":", false);
static TX_ID: Field = Field::fixed(11, b",\"txId\":", true);
static LSN: Field = Field::fixed(12, b",\"lsn\":", true);
static XMIN: Field = Field::fixed(13, b",\"xmin\":", true);
static ORIGIN: Field = Field::fixed(14, b",\"origin\":", true);
static ORIGIN_LSN: Field = Field::fixed(15, b",\"origin_lsn\":", true);

fn number<F: Format>(field: &Field, value: i64, out: &mut F) {
    out.field(field);
    out.integer(value);
}

/// Write text that is known to be UTF-8.
fn text<F: Format>(text: &[u8], out: &mut F) {
    let written = out.string(text);
    debug_assert!(written.is_ok());
}
