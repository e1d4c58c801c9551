//! What a method is given: embeddings of training and test images.

use crate::Result;
use crate::backbone::BackboneInfo;
use crate::detector::{Features, Origin, Progress, Projection};
use crate::gpu::Device;
use crate::model::Model;
use crate::settings::{Compat, Discriminator, FeatureShape, FitOptions};

/// Image score of every test image, and the scores of its patches, row by row of the grid.
pub type Scored = Vec<(f32, Vec<f32>)>;

/// A way to find anomalies: learns from the training images of a task and scores its test images.
pub trait AnomalyMethod: Sync {
    /// Scores of the test images and of their patches, in order.
    ///
    /// # Errors
    /// What the embeddings, the device or the memory budget say; [`crate::Error::Cancelled`] where `progress`
    /// asked to stop.
    fn score(&self, task: &mut Task<'_>, options: &FitOptions, progress: &dyn Progress) -> Result<Scored>;
}

/// Embeddings `[positions][dim]` of images by their numbers.
pub trait Embeddings {
    /// Rows and columns of the grid of patches.
    fn grid(&self) -> [u32; 2];

    /// Values of an embedding.
    fn dim(&self) -> u32;

    /// Fills `out` with the embeddings of an image.
    ///
    /// # Errors
    /// Where they cannot be read.
    fn load(&mut self, image: usize, out: &mut [f32]) -> Result<()>;
}

/// Training and test images for any number of methods, with what several of them need.
pub struct Task<'a> {
    /// The device that computes.
    pub device: &'a Device,
    /// Embeddings of all images.
    pub embeddings: &'a mut dyn Embeddings,
    /// Numbers of the training images.
    pub train: Vec<usize>,
    /// Numbers of the test images.
    pub test: Vec<usize>,
    backbone: BackboneInfo,
    names: Vec<String>,
    /// Rows and columns of the frame in pixels, which maps have.
    pub(super) frame: [u32; 2],
    features: Option<Features>,
    /// The last model by its discriminator, and its soft weights: without them the bank is the same.
    pub(super) last: Option<(Discriminator, Model, Vec<f32>)>,
}

impl<'a> Task<'a> {
    /// `names` are those of the training images, `frame` what the embeddings are of.
    pub fn new(
        device: &'a Device,
        embeddings: &'a mut dyn Embeddings,
        backbone: BackboneInfo,
        train: Vec<usize>,
        test: Vec<usize>,
        names: Vec<String>,
        frame: [u32; 2],
    ) -> Self {
        Self { device, embeddings, train, test, backbone, names, frame, features: None, last: None }
    }

    /// Grid positions of an image.
    pub(super) fn positions(&self) -> usize {
        let [h, w] = self.embeddings.grid();
        h as usize * w as usize
    }

    /// Values of an image.
    pub(super) fn image(&self) -> usize {
        self.positions() * self.embeddings.dim() as usize
    }

    /// Sizes of `images` images.
    pub(super) fn shape(&self, images: usize) -> FeatureShape {
        let columns = self.embeddings.grid()[1] as usize;
        FeatureShape { images, positions: self.positions(), columns, dim: self.embeddings.dim() as usize }
    }

    /// Images at a time that fit one binding.
    pub(super) fn batch(&self, options: &FitOptions) -> usize {
        batch_of(self.device, self.image(), options)
    }

    /// Where a model of this task comes from.
    pub(super) fn origin(&self) -> Origin {
        let (backbone, images) = (self.backbone.clone(), self.names.clone());
        Origin { backbone, images, grid: self.embeddings.grid(), frame: self.frame, roi: None }
    }

    /// Projected vectors and embeddings of the training images, collected at the first call.
    pub(super) fn features(&mut self, options: &FitOptions) -> Result<&mut Features> {
        let features = match self.features.take() {
            Some(features) => features,
            None => {
                let shape = self.shape(self.train.len());
                let projection = Projection::random(shape.dim, options);
                let batch = self.batch(options);
                let (embeddings, train) = (&mut *self.embeddings, &self.train);
                let load = |i: usize, out: &mut [f32]| embeddings.load(train[i], out);
                Features::from_embeddings(self.device, shape, projection.as_ref(), batch, options, load)?
            }
        };
        Ok(self.features.insert(features))
    }

    /// Selecting a bank as the published program does projects the features anew: they are no good for the
    /// next method.
    pub(super) fn used(&mut self, options: &FitOptions) {
        if options.compat == Compat::Official {
            self.features = None;
        }
    }
}

/// Images of a batch that fit one binding.
pub(super) fn batch_of(device: &Device, image_words: usize, options: &FitOptions) -> usize {
    let fits = (device.caps().max_binding / 4) as usize / image_words;
    (options.batch as usize).min(fits).max(1)
}
