//! The table of live handles.

use crate::status::{Failure, SOFTPATCH_INVALID_HANDLE};
use std::any::Any;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// A kind of object that handles stand for.
pub(crate) trait Handled: Send + Sync + 'static {
    /// What messages call it.
    const KIND: &'static str;
}

type Object = Arc<dyn Any + Send + Sync>;

static LIVE: RwLock<BTreeMap<u64, Object>> = RwLock::new(BTreeMap::new());
/// Never 0, and never a number twice: 2^64 handles do not run out.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// A new handle.
pub(crate) fn insert<T: Handled>(object: T) -> u64 {
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    LIVE.write().unwrap_or_else(PoisonError::into_inner).insert(id, Arc::new(object));
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
    of_kind(object, id)
}

fn of_kind<T: Handled>(object: &Object, id: u64) -> Result<Arc<T>, Failure> {
    object.clone().downcast().map_err(|_| invalid::<T>(id, "it is of another kind"))
}

/// Takes the handle out of the table.
pub(crate) fn remove<T: Handled>(id: u64) -> Result<Arc<T>, Failure> {
    let mut live = LIVE.write().unwrap_or_else(PoisonError::into_inner);
    let object = live.get(&id).ok_or_else(|| invalid::<T>(id, why(id)))?;
    let object = of_kind(object, id)?;
    live.remove(&id);
    Ok(object)
}
