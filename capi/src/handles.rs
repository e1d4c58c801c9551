//! The table of live handles.

use crate::status::{Failure, SOFTPATCH_INVALID_HANDLE};
use crate::{context::Context, model::Loaded, stream::Streaming};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// What a handle stands for.
#[derive(Clone)]
pub(crate) enum Object {
    Context(Arc<Context>),
    Detector(Arc<Loaded>),
    Stream(Arc<Streaming>),
}

/// A kind of object that handles stand for.
pub(crate) trait Handled: Sized {
    const KIND: &'static str;
    fn wrap(this: Arc<Self>) -> Object;
    fn unwrap(object: &Object) -> Option<&Arc<Self>>;
}

macro_rules! handled {
    ($type:ty, $variant:ident, $kind:literal) => {
        impl Handled for $type {
            const KIND: &'static str = $kind;
            fn wrap(this: Arc<Self>) -> Object {
                Object::$variant(this)
            }
            fn unwrap(object: &Object) -> Option<&Arc<Self>> {
                match object {
                    Object::$variant(this) => Some(this),
                    _ => None,
                }
            }
        }
    };
}
handled!(Context, Context, "context");
handled!(Loaded, Detector, "detector");
handled!(Streaming, Stream, "stream");

static LIVE: RwLock<BTreeMap<u64, Object>> = RwLock::new(BTreeMap::new());
/// Never 0, and never a number twice: 2^64 handles do not run out.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// A new handle.
pub(crate) fn insert<T: Handled>(object: T) -> u64 {
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    LIVE.write().unwrap_or_else(PoisonError::into_inner).insert(id, T::wrap(Arc::new(object)));
    id
}

fn invalid<T: Handled>(id: u64, why: &str) -> Failure {
    Failure::new(SOFTPATCH_INVALID_HANDLE, format!("handle {id} is no {}: {why}", T::KIND))
}

fn why(id: u64) -> &'static str {
    if id == 0 {
        "0 is none"
    } else if id < NEXT.load(Ordering::Relaxed) {
        "it was freed"
    } else {
        "it was never given"
    }
}

/// The object, which lives on at least as long as the caller holds it.
pub(crate) fn get<T: Handled>(id: u64) -> Result<Arc<T>, Failure> {
    let live = LIVE.read().unwrap_or_else(PoisonError::into_inner);
    let object = live.get(&id).ok_or_else(|| invalid::<T>(id, why(id)))?;
    T::unwrap(object).cloned().ok_or_else(|| invalid::<T>(id, "it is of another kind"))
}

/// Takes the handle out of the table.
pub(crate) fn remove<T: Handled>(id: u64) -> Result<Arc<T>, Failure> {
    let mut live = LIVE.write().unwrap_or_else(PoisonError::into_inner);
    let object = live.get(&id).ok_or_else(|| invalid::<T>(id, why(id)))?;
    let object = T::unwrap(object).cloned().ok_or_else(|| invalid::<T>(id, "it is of another kind"))?;
    live.remove(&id);
    Ok(object)
}
