//! The seam between types and encodings: a codec writes typed values, a format spells them. Every codec is compiled once
//! for each format, so that no cell pays for the choice.

use std::borrow::Cow;

use crate::encode::java::Float;

/// Result of writing a value; the reason never holds any of it (I9).
pub type Written = Result<(), &'static str>;

/// A member of a struct as formats need it: each takes what it is known by there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its place among the struct's members, from 0.
    pub index: u16,
    /// Whether the value may be null.
    pub optional: bool,
    /// Whether the member has a default.
    pub defaulted: bool,
    /// `"name":` as JSON has it, behind a comma unless it is the first.
    pub(super) json: Cow<'static, [u8]>,
}

impl Field {
    /// The member `name` at `index`.
    #[must_use]
    pub fn new(index: u16, name: &str, optional: bool) -> Self {
        let mut json = Vec::new();
        json.extend((index > 0).then_some(b','));
        crate::encode::json::text(name, &mut json);
        json.push(b':');
        Self { index, optional, defaulted: false, json: Cow::Owned(json) }
    }

    /// The same member with a default.
    #[must_use]
    pub fn with_default(self) -> Self {
        Self { defaulted: true, ..self }
    }

    /// A member that is always the same; `json` as [`Self::json`].
    pub(crate) const fn fixed(index: u16, json: &'static [u8], optional: bool) -> Self {
        Self { index, optional, defaulted: false, json: Cow::Borrowed(json) }
    }

    /// As [`Self::fixed`], of a member that may be null and has a default.
    pub(crate) const fn fixed_default(index: u16, json: &'static [u8]) -> Self {
        Self { index, optional: true, defaulted: true, json: Cow::Borrowed(json) }
    }
}

/// Where codecs write to. One value is written by one call, or by a `begin_…`, what is in it, and its `end_…`.
///
/// Before the value of a struct's member comes [`Self::field`], before that of a list [`Self::element`], before those of
/// a map [`Self::key`] and [`Self::entry`]; they tell whether the value may be null, for formats that mark this.
pub trait Format {
    /// Whether a list may hold lists where its schema says values: only what has no schema allows that.
    fn nests(&self) -> bool;

    /// No value.
    fn null(&mut self);

    /// A boolean.
    fn boolean(&mut self, value: bool);

    /// An integer of any of Connect's widths.
    fn integer(&mut self, value: i64);

    /// A number of 32 bits.
    fn single(&mut self, value: f32);

    /// A number of 64 bits.
    fn double(&mut self, value: f64);

    /// Text that comes from outside.
    ///
    /// # Errors
    /// When it is not UTF-8.
    fn string(&mut self, text: &[u8]) -> Written;

    /// Text that `compose` appends: ASCII without control characters, quotes and backslashes.
    ///
    /// # Errors
    /// Those of `compose`; what was written is of no use then.
    fn compose(&mut self, compose: impl FnOnce(&mut Vec<u8>) -> Written) -> Written;

    /// Bytes.
    fn bytes(&mut self, bytes: &[u8]);

    /// Begin a struct.
    fn begin_struct(&mut self);

    /// The value of this member comes next.
    fn field(&mut self, field: &Field);

    /// End a struct.
    fn end_struct(&mut self);

    /// Begin a list.
    fn begin_list(&mut self);

    /// A value of the list comes next, its first or another.
    fn element(&mut self, first: bool, optional: bool);

    /// End a list of so many values.
    fn end_list(&mut self, count: usize);

    /// Begin a map; `named` when its keys are text.
    fn begin_map(&mut self, named: bool);

    /// The key of an entry comes next, the first or another.
    fn key(&mut self, first: bool);

    /// The value to that key comes next.
    fn entry(&mut self, optional: bool);

    /// End a map of so many entries.
    fn end_map(&mut self, count: usize);

    /// Whether all that was written so far has its place in the schema, so that who knows the column can tell.
    ///
    /// # Errors
    /// What has none.
    #[inline]
    fn sound(&self) -> Written {
        Ok(())
    }

    /// An integer as the server prints it; None when it is none that fits 64 bits.
    #[inline]
    fn integer_text(&mut self, text: &[u8]) -> Option<()> {
        self.integer(crate::value::number::integer(text)?);
        Some(())
    }

    /// A floating point number as the server prints it; None when it is none.
    #[inline]
    fn float_text(&mut self, text: &[u8], float: Float) -> Option<()> {
        match float {
            Float::Single => self.single(float.parse(text)? as f32),
            Float::Double => self.double(float.parse(text)?),
        }
        Some(())
    }
}
