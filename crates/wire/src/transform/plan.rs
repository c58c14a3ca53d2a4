//! What transforms share: plans for table versions, and the rewriting of segments by them.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rustc_hash::FxHashMap;

use super::mask::Masked;
use crate::batch::{ABSENT, Batch, Derive, DerivedSegment, Op, Part, Segment, SegmentBuilder, Tuple};
use crate::error::{Error, Result};
use crate::table::Table;

/// What becomes of the row images of a table.
pub(super) enum Images {
    /// They stay.
    Same,
    /// Only these cells stay, in ascending order.
    Columns(Vec<usize>),
    /// Some cells are hidden.
    Masked(Masked),
}

/// What becomes of one table version.
pub(super) struct Plan {
    /// The version that takes its place; itself when nothing changes.
    pub table: Arc<Table>,
    pub images: Images,
}

impl Plan {
    /// Leave the table as it is.
    pub fn keep(table: &Arc<Table>) -> Self {
        Self { table: Arc::clone(table), images: Images::Same }
    }
}

/// Plans that are kept; a source that makes table versions without an end has them made anew.
const PLANS_MAX: usize = 4096;

/// Plans by table version; None drops the table.
pub(super) type Plans = Mutex<FxHashMap<u64, Option<Arc<Plan>>>>;

/// What a transform does to tables and operations; [`apply`] does the rest.
pub(super) trait Transform: Send + Sync + 'static {
    /// The plans that were made.
    fn plans(&self) -> &Plans;

    /// Make a plan for a table version; None drops its changes.
    fn plan(&self, table: &Arc<Table>) -> Result<Option<Plan>>;

    /// Whether changes of this operation stay.
    fn keeps(&self, op: Op) -> bool {
        let _ = op;
        true
    }
}

fn plan<T: Transform>(transform: &T, table: &Arc<Table>) -> Result<Option<Arc<Plan>>> {
    let mut plans = transform.plans().lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(plan) = plans.get(&table.version) {
        return Ok(plan.clone());
    }
    let made = transform.plan(table)?.map(Arc::new);
    if plans.len() >= PLANS_MAX {
        plans.clear();
    }
    plans.insert(table.version, made.clone());
    Ok(made)
}

const OPS: [Op; 6] = [Op::Create, Op::Update, Op::Delete, Op::Read, Op::Truncate, Op::Message];

/// Transform a batch. A snapshot mark follows its table, and has none when that is dropped.
pub(super) fn apply<T: Transform>(transform: &Arc<T>, batch: &Batch) -> Result<Batch> {
    let all = OPS.into_iter().all(|op| transform.keeps(op));
    let mut parts = Vec::with_capacity(batch.parts().len());
    for part in batch.parts() {
        let plans = part.tables().iter().map(|table| plan(&**transform, table)).collect::<Result<Vec<_>>>()?;
        let same = |(plan, table): (&Option<Arc<Plan>>, &Arc<Table>)| {
            plan.as_ref().is_some_and(|plan| Arc::ptr_eq(&plan.table, table))
        };
        if all && plans.iter().zip(part.tables()).all(same) {
            parts.push(part.clone());
        } else if let Part::Memory(segment) = part {
            parts.push(Part::Memory(Arc::new(rewrite(&**transform, segment, &plans)?)));
        } else {
            let source = Transformed { transform: Arc::clone(transform), part: part.clone() };
            parts.push(Part::Derived(Arc::new(DerivedSegment::new(&source.make()?, Arc::new(source)))));
        }
    }
    let mut mark = batch.snapshot().cloned();
    if let Some(mark) = &mut mark
        && let Some(table) = &mark.table
    {
        mark.table = plan(&**transform, table)?.map(|plan| Arc::clone(&plan.table));
    }
    Ok(Batch::new(parts, batch.ends().to_vec(), mark))
}

/// A part that is transformed when it is read.
struct Transformed<T> {
    transform: Arc<T>,
    part: Part,
}

impl<T: Transform> Transformed<T> {
    fn make(&self) -> Result<Segment> {
        let segment = self.part.load()?;
        let plans = segment.tables().iter().map(|table| plan(&*self.transform, table)).collect::<Result<Vec<_>>>()?;
        rewrite(&*self.transform, &segment, &plans)
    }
}

impl<T> fmt::Debug for Transformed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transformed").field("part", &self.part).finish_non_exhaustive()
    }
}

impl<T: Transform> Derive for Transformed<T> {
    fn derive(&self) -> Result<Arc<Segment>> {
        self.make().map(Arc::new)
    }
}

fn rewrite<T: Transform>(transform: &T, segment: &Segment, plans: &[Option<Arc<Plan>>]) -> Result<Segment> {
    let mut builder = SegmentBuilder::new(Arc::clone(segment.origin()));
    let mut scratch = Vec::new();
    for (index, row) in segment.rows().enumerate() {
        if !transform.keeps(row.op()) {
            continue;
        }
        let mut entry = *row.entry();
        let Some(planned) = plans.get(usize::from(entry.table)) else {
            let txn = builder.txn_of(row)?;
            builder.copy(segment, index, txn)?;
            continue;
        };
        let Some(plan) = planned else { continue };
        entry.txn = builder.txn_of(row)?;
        entry.table = builder.table(&plan.table).ok_or_else(|| {
            Error::Usage(format!("two tables of one transaction would be {}: give them different names", plan.table))
        })?;
        entry.old = image(&mut builder, &plan.images, row.before(), &mut scratch)?;
        entry.new = image(&mut builder, &plan.images, row.after(), &mut scratch)?;
        builder.push(entry);
    }
    Ok(builder.seal())
}

fn image(
    builder: &mut SegmentBuilder,
    images: &Images,
    tuple: Option<Tuple<'_>>,
    scratch: &mut Vec<u8>,
) -> Result<u32> {
    let Some(tuple) = tuple else { return Ok(ABSENT) };
    match images {
        Images::Same => builder.copy_tuple(tuple.raw()),
        Images::Columns(columns) => {
            let mut wanted = columns.iter().copied().peekable();
            let cells = tuple.cells().enumerate();
            builder.tuple(cells.filter_map(|(index, cell)| wanted.next_if_eq(&index).map(|_| cell)))
        }
        Images::Masked(masked) => masked.write(builder, tuple, scratch),
    }
}
