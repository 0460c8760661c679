//! One object through the conversion, before anything is written.

use super::pass::{Named, Pass};
use super::server::{METADATA_LIST, Trouble};
use crate::convert::Version;
use crate::line::one_line;

/// Objects that go before their turn say nothing about the conversion.
const TRIED: usize = 3;

impl Pass<'_> {
    /// Has the API server write an object in each of these versions without storing it: one of them is not the one that it is
    /// stored in, whichever that is. A list alone may come from what the API server remembers. The object; None: there is none,
    /// and nothing to convert.
    ///
    /// # Errors
    /// [`Trouble::Unconverted`] where the conversion is what fails.
    pub async fn try_one(&self, versions: &[Version]) -> Result<Option<String>, Trouble> {
        let mut gone = Ok(None);
        for _ in 0..TRIED {
            match self.try_first(versions).await {
                Err(trouble @ Trouble::Refused(404, _)) => gone = Err(trouble),
                Err(Trouble::Away { said, .. }) if said.contains("conversion webhook") => {
                    return Err(Trouble::Unconverted(format!("{}.kubernaut.ai", self.plural), said));
                }
                tried => return tried,
            }
        }
        gone
    }

    async fn try_first(&self, versions: &[Version]) -> Result<Option<String>, Trouble> {
        let page = self.server.page::<Named>(&self.list_path(), METADATA_LIST, 1, None).await?;
        let Some(Named { metadata: object }) = page.items.into_iter().next() else { return Ok(None) };
        for version in versions {
            match self.server.pretend_to_store(&object.path(self.plural, *version), self.plural).await {
                // Whoever refuses to have it written has it in that version.
                Err(Trouble::Refused(code, _)) if code != 404 => {}
                tried => tried?,
            }
        }
        Ok(Some(one_line(&format!("{} {}/{}", self.plural, object.namespace, object.name), 400)))
    }
}
