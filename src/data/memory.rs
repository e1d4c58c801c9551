//! Images that are in memory already.

use super::{Frame, Image, ImageSource, OwnedImage, Roi};
use crate::{Error, Result};
use std::borrow::Cow;
use std::sync::Arc;

/// An image in memory, in whatever format: [`OwnedImage`], [`Frame`] or [`Image`].
pub trait Pixels: Sync {
    /// The image in 8-bit RGB.
    ///
    /// # Errors
    /// [`Error::InvalidImage`] where the pixels do not fit the size.
    fn rgb8(&self) -> Result<Cow<'_, OwnedImage>>;

    /// Width and height in pixels.
    fn size(&self) -> [u32; 2];
}

impl Pixels for OwnedImage {
    fn rgb8(&self) -> Result<Cow<'_, OwnedImage>> {
        self.as_image()?;
        Ok(Cow::Borrowed(self))
    }
    fn size(&self) -> [u32; 2] {
        [self.width, self.height]
    }
}

impl Pixels for Image<'_> {
    fn rgb8(&self) -> Result<Cow<'_, OwnedImage>> {
        Ok(Cow::Owned(self.to_rgb8()))
    }
    fn size(&self) -> [u32; 2] {
        [self.width(), self.height()]
    }
}

impl Pixels for Frame {
    fn rgb8(&self) -> Result<Cow<'_, OwnedImage>> {
        Ok(Cow::Owned(self.as_image().to_rgb8()))
    }
    fn size(&self) -> [u32; 2] {
        [self.as_image().width(), self.as_image().height()]
    }
}

/// A list of images in memory: a vector, array, slice or [`Arc`] of them, or a reference to one of these.
pub trait Images: Sync {
    /// Kind of the images.
    type Item: Pixels;

    /// All images.
    fn images(&self) -> &[Self::Item];
}

impl<I: Pixels> Images for [I] {
    type Item = I;
    fn images(&self) -> &[I] {
        self
    }
}

impl<I: Pixels, const N: usize> Images for [I; N] {
    type Item = I;
    fn images(&self) -> &[I] {
        self
    }
}

impl<I: Pixels> Images for Vec<I> {
    type Item = I;
    fn images(&self) -> &[I] {
        self
    }
}

impl<T: Images + ?Sized> Images for &T {
    type Item = T::Item;
    fn images(&self) -> &[T::Item] {
        (**self).images()
    }
}

impl<T: Images + Send + ?Sized> Images for Arc<T> {
    type Item = T::Item;
    fn images(&self) -> &[T::Item] {
        (**self).images()
    }
}

/// Images that are in memory already, borrowed or owned, in any [`PixelFormat`](super::PixelFormat): what a
/// detector scores, it can be fitted on. In messages and models they are called `<memory>[0]` and so on; see
/// [`Named`].
///
/// ```
/// use softpatch::data::{Frame, Image, ImageSource, MemorySource, OwnedImage, PixelFormat};
///
/// // Borrowed, for `Detector::fit`.
/// let images = vec![OwnedImage { width: 2, height: 1, pixels: vec![10, 20, 30, 40, 50, 60] }];
/// assert_eq!(MemorySource(&images).len(), 1);
///
/// // Owned, for `FitJob::start`: here frames of a camera that sends blue first.
/// let sent = [30, 20, 10, 60, 50, 40];
/// let frame = Frame::copy_of(&Image::new(&sent, 2, 1, 6, PixelFormat::Bgr8)?);
/// let source = MemorySource(vec![frame]);
/// assert_eq!(*source.load(0)?, images[0]);
/// # Ok::<(), softpatch::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct MemorySource<T>(pub T);

impl<T: Images> ImageSource for MemorySource<T> {
    fn len(&self) -> usize {
        self.0.images().len()
    }
    fn name(&self, index: usize) -> String {
        format!("<memory>[{index}]")
    }
    /// # Errors
    /// [`Error::InvalidImage`] where the pixels do not fit the size.
    fn load(&self, index: usize) -> Result<Cow<'_, OwnedImage>> {
        self.0.images()[index].rgb8()
    }
    fn size(&self, index: usize) -> Result<[u32; 2]> {
        Ok(self.0.images()[index].size())
    }
}

/// The images of a source under other names, which messages and models then hold.
///
/// ```
/// use softpatch::data::{ImageSource, MemorySource, Named, OwnedImage};
///
/// let image = OwnedImage { width: 1, height: 1, pixels: vec![0; 3] };
/// let source = Named::new(MemorySource([image]), ["part 4711"])?;
/// assert_eq!(source.name(0), "part 4711");
/// # Ok::<(), softpatch::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Named<S> {
    source: S,
    names: Vec<String>,
}

impl<S: ImageSource> Named<S> {
    /// `source` with a name for each image, in its order.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] where there are more or fewer names than images.
    pub fn new(source: S, names: impl IntoIterator<Item: Into<String>>) -> Result<Self> {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        if names.len() != source.len() {
            return Err(Error::InvalidOption(format!(
                "there are {} names for {} images; give each image one",
                names.len(),
                source.len()
            )));
        }
        Ok(Self { source, names })
    }
}

impl<S: ImageSource> ImageSource for Named<S> {
    fn len(&self) -> usize {
        self.source.len()
    }
    fn name(&self, index: usize) -> String {
        self.names[index].clone()
    }
    fn load(&self, index: usize) -> Result<Cow<'_, OwnedImage>> {
        self.source.load(index)
    }
    fn size(&self, index: usize) -> Result<[u32; 2]> {
        self.source.size(index)
    }
    fn roi(&self) -> Option<&Roi> {
        self.source.roi()
    }
    fn notes(&self) -> Vec<String> {
        self.source.notes()
    }
}
