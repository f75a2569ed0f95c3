//! Static files.

use std::sync::Arc;

use super::{Next, Request};
use crate::folder::{self, Folder, Outcome, StaticBody, StaticRequest, StaticResponse};
use crate::page::Reason;
use crate::path::CleanPath;
use crate::response::reason_phrase;
use crate::upkeep;

/// A file up to this size is sent together with the head, in one write; a larger one by `sendfile`. Bytes.
const SMALL: u64 = 32 * 1024;

impl Request<'_> {
    /// Answer from a folder; `None`: it has no such file.
    pub(super) async fn serve_folder(
        &mut self,
        folder: &Folder,
        path: &CleanPath<'_>,
        prefix_length: usize,
    ) -> Option<Next> {
        match self.look_up(folder, path, prefix_length) {
            Outcome::NotFound => None,
            Outcome::Response(response) => {
                let response = self.coded(response).await;
                Some(self.send_static(response))
            }
        }
    }

    fn look_up(&self, folder: &Folder, path: &CleanPath<'_>, prefix_length: usize) -> Outcome {
        let head = self.head;
        let match_lists = [head.joined("if-match"), head.joined("if-none-match")];
        let header = |name: &str| {
            let list = match name {
                "if-match" => match_lists[0].as_deref(),
                "if-none-match" => match_lists[1].as_deref(),
                _ => None,
            };
            list.or_else(|| head.header(name))
        };
        let request = StaticRequest {
            method: std::str::from_utf8(head.method()).unwrap_or(""),
            path,
            prefix_length,
            query: head.query(),
            header: &header,
        };
        upkeep::with_files(|files| folder::serve(folder, files, &request))
    }

    /// The response with its body compressed, if it may be and that is at hand.
    async fn coded(&self, mut response: StaticResponse) -> StaticResponse {
        let Some(wanted) = response.coded.take() else {
            return response;
        };
        let encoding = wanted.encoding;
        match self.shared.coded.get(wanted).await {
            Some(bytes) => {
                let headers = &mut response.headers;
                headers.retain(|(name, _)| *name != "accept-ranges");
                headers.push(("content-encoding", encoding.name().into()));
                response.length = Some(bytes.len() as u64);
                if !matches!(response.body, StaticBody::Empty) {
                    response.body = StaticBody::Bytes(bytes);
                }
            }
            None => {
                // This is the plain one, whose bytes its entity tag stands for.
                for (name, value) in &mut response.headers {
                    if *name == "etag" {
                        *value = value.trim_start_matches("W/").to_owned().into();
                    }
                }
            }
        }
        response
    }

    fn send_static(&mut self, response: StaticResponse) -> Next {
        let StaticResponse {
            status,
            headers,
            length,
            body,
            coded: _,
        } = response;
        let headers: Vec<(&str, &[u8])> = headers
            .iter()
            .map(|(name, value)| (*name, value.as_bytes()))
            .collect();
        if status >= 400 {
            // What is said to caches about the file is not true of the page.
            let of_page = |(name, _): &(&str, &[u8])| !matches!(*name, "cache-control" | "vary");
            let headers: Vec<_> = headers.into_iter().filter(of_page).collect();
            return self.error_with(status, Reason::General, &headers);
        }
        self.refuse_body();
        let line = format!("{status} {}", reason_phrase(status));
        let pairs = headers
            .iter()
            .map(|(name, value)| (name.as_bytes(), *value));
        let length = length.or((status != 304).then_some(0));
        if self
            .response
            .head(&mut self.visitor.output, line.as_bytes(), pairs, length)
            .is_err()
        {
            return self.error(500);
        }
        let (response, output) = (&mut self.response, &mut self.visitor.output);
        match body {
            StaticBody::Empty => {}
            StaticBody::Bytes(bytes) => response.body(output, &bytes),
            StaticBody::File {
                file,
                offset,
                length,
            } if length <= SMALL => {
                let mut bytes = vec![0; length as usize];
                if std::os::unix::fs::FileExt::read_exact_at(&*file, &mut bytes, offset).is_err() {
                    return Next::Cut;
                }
                response.body(output, &bytes);
            }
            StaticBody::File {
                file,
                offset,
                length,
            } => response.file(output, file, offset, length),
            StaticBody::Multi {
                parts,
                file,
                trailer,
            } => {
                for (header, offset, length) in parts {
                    response.body(output, &header);
                    response.file(output, Arc::clone(&file), offset, length);
                }
                response.body(output, &trailer);
            }
        }
        self.finish()
    }
}
