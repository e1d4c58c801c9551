//! Rows taken out of a bank, put back where they were, and added to it.

use super::{Index, MemoryBank};

/// Rows that were taken out of a bank, and where they were.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Removed {
    /// `[rows][dim]`.
    pub rows: Vec<f32>,
    /// `[rows]`.
    pub weights: Vec<f32>,
    /// `[rows]`; empty where the bank has no floors.
    pub floors: Vec<f32>,
    /// `[rows][3]`, as [`MemoryBank::provenance`].
    pub provenance: Vec<[u32; 3]>,
    /// `[rows][2]`: number in the bank that they were taken from, ascending; place in the order of its index,
    /// or [`Removed::NO_PLACE`] where it had none.
    pub at: Vec<[u32; 2]>,
}

impl Removed {
    /// In the place of a place.
    pub const NO_PLACE: u32 = u32::MAX;

    /// Rows.
    pub fn len(&self) -> usize {
        self.weights.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.weights.is_empty()
    }

    /// Puts `later` behind these.
    pub fn extend(&mut self, later: Self) {
        self.rows.extend(later.rows);
        self.weights.extend(later.weights);
        self.floors.extend(later.floors);
        self.provenance.extend(later.provenance);
        self.at.extend(later.at);
    }

    /// Takes the last `count` away; `None` where there are fewer.
    pub fn split_off(&mut self, count: usize) -> Option<Self> {
        let left = self.len().checked_sub(count)?;
        let dim = self.rows.len().checked_div(self.len()).unwrap_or(0);
        Some(Self {
            rows: self.rows.split_off(left * dim),
            weights: self.weights.split_off(left),
            floors: if self.floors.is_empty() { Vec::new() } else { self.floors.split_off(left) },
            provenance: self.provenance.split_off(left),
            at: self.at.split_off(left),
        })
    }
}

impl MemoryBank {
    /// Takes out the rows that `gone` names, whatever their order; numbers that no row has count for nothing.
    /// The axes of the index stay: any are right.
    pub fn take(&mut self, gone: &[u32]) -> Removed {
        let (dim, count) = (self.dim(), self.weights.len());
        let mut leaves = vec![false; count];
        for &row in gone {
            if let Some(leaves) = leaves.get_mut(row as usize) {
                *leaves = true;
            }
        }
        let mut places = vec![Removed::NO_PLACE; count];
        if let Some(index) = &mut self.index {
            for (place, &row) in index.order.iter().enumerate() {
                places[row as usize] = place as u32;
            }
            let numbers = numbers(&leaves);
            index.order.retain(|&row| !leaves[row as usize]);
            index.order.iter_mut().for_each(|row| *row = numbers[*row as usize]);
        }
        let mut removed = Removed::default();
        for row in (0..count).filter(|&row| leaves[row]) {
            removed.rows.extend_from_slice(&self.rows[row * dim..][..dim]);
            removed.weights.push(self.weights[row]);
            removed.floors.extend(self.floors.get(row));
            removed.provenance.push(self.provenance[row]);
            removed.at.push([row as u32, places[row]]);
        }
        fn keep<T>(values: &mut Vec<T>, width: usize, leaves: &[bool]) {
            let mut at = 0..;
            values.retain(|_| at.next().is_some_and(|i: usize| !leaves[i / width]));
        }
        keep(&mut self.rows, dim.max(1), &leaves);
        keep(&mut self.weights, 1, &leaves);
        keep(&mut self.floors, 1, &leaves);
        keep(&mut self.provenance, 1, &leaves);
        removed
    }

    /// Puts rows back where they were; `None`, and nothing is changed, where they cannot have been taken from
    /// this bank.
    pub fn put_back(&mut self, removed: &Removed) -> Option<()> {
        let (dim, count) = (self.dim(), self.weights.len() + removed.len());
        let mut came_back = vec![false; count];
        let ascending = removed.at.windows(2).all(|w| w[0][0] < w[1][0]);
        let sizes = removed.rows.len() == removed.len() * dim
            && removed.provenance.len() == removed.len()
            && removed.floors.len() == if self.floors.is_empty() { 0 } else { removed.len() }
            && removed.at.len() == removed.len();
        if !ascending || !sizes {
            return None;
        }
        for [row, _] in &removed.at {
            *came_back.get_mut(*row as usize)? = true;
        }
        // Of a bank that had no index, or has none now, it is found anew.
        let known = removed.at.iter().all(|at| at[1] != Removed::NO_PLACE);
        let order = match &self.index {
            Some(index) if known => Some(full_order(&index.order, removed, &came_back)?),
            _ => None,
        };
        let merge = |ours: &[f32], theirs: &[f32], width: usize| -> Vec<f32> {
            let (mut ours, mut theirs) = (ours.chunks_exact(width.max(1)), theirs.chunks_exact(width.max(1)));
            let row = |back: &bool| if *back { theirs.next() } else { ours.next() };
            came_back.iter().filter_map(row).flatten().copied().collect()
        };
        self.rows = merge(&self.rows, &removed.rows, dim);
        self.weights = merge(&self.weights, &removed.weights, 1);
        self.floors = merge(&self.floors, &removed.floors, 1);
        let (mut ours, mut theirs) = (self.provenance.iter(), removed.provenance.iter());
        let from = |back: &bool| if *back { theirs.next() } else { ours.next() };
        self.provenance = came_back.iter().filter_map(from).copied().collect();
        self.index = self.index.take().zip(order).map(|(Index { axes, .. }, order)| Index { axes, order });
        Some(())
    }

    /// Adds rows at the end, and at the end of the index's order. Whoever adds them vouches for them: they
    /// have no floor.
    ///
    /// # Panics
    /// Where the sizes do not fit together; callers are inside the crate.
    pub fn append(&mut self, rows: &[f32], weight: f32, provenance: &[[u32; 3]]) {
        let (first, added) = (self.weights.len() as u32, provenance.len());
        assert_eq!(rows.len(), added * self.dim(), "{added} rows of {}", self.dim());
        self.rows.extend_from_slice(rows);
        self.weights.resize(self.weights.len() + added, weight);
        if !self.floors.is_empty() {
            self.floors.resize(self.weights.len(), 0.0);
        }
        self.provenance.extend_from_slice(provenance);
        if let Some(index) = &mut self.index {
            index.order.extend(first..first + added as u32);
        }
    }

    /// Takes the last `count` rows away again; `None`, and nothing is changed, where there are not more.
    pub fn pop(&mut self, count: usize) -> Option<()> {
        let left = self.weights.len().checked_sub(count).filter(|left| *left > 0)?;
        self.rows.truncate(left * self.dim());
        self.weights.truncate(left);
        self.floors.truncate(left);
        self.provenance.truncate(left);
        if let Some(index) = &mut self.index {
            index.order.retain(|row| (*row as usize) < left);
        }
        Some(())
    }
}

/// Numbers that rows have once those that leave are gone.
fn numbers(leaves: &[bool]) -> Vec<u32> {
    let before = leaves.iter().scan(0, |left, leaves| {
        let number = *left;
        *left += u32::from(!leaves);
        Some(number)
    });
    before.collect()
}

/// The order of all rows, from that of those that stayed.
fn full_order(stayed: &[u32], removed: &Removed, came_back: &[bool]) -> Option<Vec<u32>> {
    let mut order = vec![Removed::NO_PLACE; came_back.len()];
    for [row, place] in &removed.at {
        *order.get_mut(*place as usize)? = *row;
    }
    // Where two had one place, a slot is left that nobody fills.
    let now: Vec<u32> = (0_u32..).zip(came_back).filter(|(_, back)| !**back).map(|(row, _)| row).collect();
    let mut stayed = stayed.iter();
    for slot in order.iter_mut().filter(|slot| **slot == Removed::NO_PLACE) {
        *slot = *now.get(*stayed.next()? as usize)?;
    }
    Some(order)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bank::Axes;

    fn bank(index: bool) -> MemoryBank {
        let axes = Axes { mean: vec![0.0; 2], vectors: vec![1.0, 0.0] };
        MemoryBank {
            rows: (0..14).map(|v| v as f32).collect(),
            weights: (0..7).map(|v| 1.0 + v as f32).collect(),
            floors: if index { (0..7).map(|v| 9.0 - v as f32).collect() } else { Vec::new() },
            provenance: (0..7).map(|v| [v / 2, v, 0]).collect(),
            index: index.then(|| Index { axes, order: vec![4, 0, 6, 2, 1, 5, 3] }),
        }
    }

    #[test]
    fn rows_come_back_where_they_were() {
        for indexed in [true, false] {
            let whole = bank(indexed);
            for gone in [vec![], vec![0], vec![6, 2, 2, 90], vec![1, 3, 5], (0..6).collect()] {
                let mut edited = whole.clone();
                let removed = edited.take(&gone);
                let left: Vec<usize> = (0..7).filter(|row| !gone.contains(&(*row as u32))).collect();
                assert_eq!(edited.weights, left.iter().map(|&r| whole.weights[r]).collect::<Vec<_>>());
                assert_eq!(edited.rows.len(), 2 * left.len());
                assert!(edited.index.as_ref().is_none_or(|i| i.fits(left.len())), "{gone:?}");
                edited.put_back(&removed).unwrap();
                assert_eq!(edited, whole, "{gone:?}");
            }
            let mut edited = whole.clone();
            edited.append(&[7.0; 4], 2.0, &[[9, 0, 0], [9, 1, 0]]);
            assert_eq!(edited.weights[7..], [2.0; 2]);
            assert_eq!(edited.floors.get(7..).unwrap_or_default(), if indexed { &[0.0; 2][..] } else { &[] });
            assert!(edited.index.as_ref().is_none_or(|i| i.fits(9)));
            edited.pop(2).unwrap();
            assert_eq!(edited, whole);
            assert_eq!(edited.pop(7), None);
        }
    }

    #[test]
    fn what_cannot_have_been_there_is_refused() {
        let mut edited = bank(true);
        let removed = edited.take(&[1, 4]);
        let before = edited.clone();
        let wrong = |change: &dyn Fn(&mut Removed)| {
            let mut other = removed.clone();
            change(&mut other);
            other
        };
        for other in [
            wrong(&|r| r.at[1][0] = 7),
            wrong(&|r| r.at[1][0] = 1),
            wrong(&|r| r.at.swap(0, 1)),
            wrong(&|r| r.at[1][1] = 7),
            wrong(&|r| r.at[1][1] = r.at[0][1]),
            wrong(&|r| r.rows.truncate(3)),
            wrong(&|r| r.floors.clear()),
            wrong(&|r| r.at.truncate(1)),
        ] {
            assert_eq!(edited.put_back(&other), None, "{other:?}");
            assert_eq!(edited, before);
        }
        // Without a place in the order, the order is found anew.
        edited.put_back(&wrong(&|r| r.at[0][1] = Removed::NO_PLACE)).unwrap();
        assert_eq!(edited, MemoryBank { index: None, ..bank(true) });
    }

    #[test]
    fn removed_rows_are_a_stack() {
        let mut all = Removed::default();
        let (first, second) = (bank(true).take(&[1]), bank(true).take(&[2, 3]));
        all.extend(first.clone());
        all.extend(second.clone());
        assert_eq!(all.split_off(4), None);
        assert_eq!(all.split_off(2), Some(second));
        assert_eq!(all.split_off(1), Some(first));
        assert!(all.is_empty());
    }
}
