/**
 * What images are called: `debian`, `localhost:5000/team/app:1.2`, `name@sha256:…`.
 * @module
 * @see https://github.com/distribution/reference/blob/main/reference.go
 */
import { show, TsboxError } from "../../syscalls/index.ts";
import { isDigest, type Digest } from "./digest.ts";

/** With nothing left out but the tag. */
export interface Reference {
  /** Of the registry, with a port where one is named: `"docker.io"`, `"localhost:5000"`, `"[::1]:5000"`. */
  domain: string;
  /** The repository in it: `"library/debian"`. */
  path: string;
  tag?: string;
  /** Counts where there is a tag as well. */
  digest?: Digest;
}

export const DEFAULT_DOMAIN = "docker.io";
/** An older name of it, still written by some. */
const OLD_DOMAIN = "index.docker.io";
const OFFICIAL = "library/";
const DEFAULT_TAG = "latest";

/** Longer names are refused by registries. */
const MAX_NAME = 255;

const PART = "[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*";
const LABEL = "(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])";
const PATH = new RegExp(`^${PART}(?:/${PART})*$`);
const DOMAIN = new RegExp(`^(?:${LABEL}(?:\\.${LABEL})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]{1,5})?$`);
const TAG = /^\w[\w.-]{0,127}$/;
/** A name of this shape would be taken for an id. */
const ID = /^[0-9a-f]{64}$/;

function refuse(text: string, why: string, hint?: string): never {
  throw new TsboxError(`read the image name ${show(text)}: ${why}`, {
    code: "reference_invalid",
    ...(hint ? { hint } : {}),
  });
}

/**
 * A name as people write it, with Docker's defaults for what they leave out: the domain `docker.io`, and there
 * `library/` before a single word.
 * @throws TsboxError `reference_invalid`
 */
export function parseReference(text: string): Reference {
  const [name, digest] = cut(text, text.indexOf("@"));
  if (digest !== undefined && !isDigest(digest)) refuse(text, `"@" without a digest behind it`, "name@sha256:…");
  const colon = name.lastIndexOf(":");
  const [repository, tag] = cut(name, colon > name.lastIndexOf("/") && !name.endsWith("]") ? colon : -1);
  if (tag !== undefined && !TAG.test(tag)) refuse(text, `the tag ${show(tag)} is not one`, "up to 128 of A-Za-z0-9_.-");
  const { domain, path } = split(text, repository);
  return {
    domain,
    path,
    ...(tag === undefined ? {} : { tag }),
    ...(digest === undefined ? {} : { digest: digest as Digest }),
  };
}

function split(text: string, repository: string): { domain: string; path: string } {
  if (repository === "") refuse(text, "empty");
  if (ID.test(repository)) refuse(text, "64 hexadecimal digits are an id, not a name");
  const slash = repository.indexOf("/");
  const first = repository.slice(0, Math.max(0, slash));
  // as Docker tells a domain from the first part of a path
  const isDomain = /[.:]/.test(first) || first === "localhost" || first !== first.toLowerCase();
  const domain = isDomain && first !== OLD_DOMAIN ? first : DEFAULT_DOMAIN;
  let path = isDomain ? repository.slice(slash + 1) : repository;
  if (!DOMAIN.test(domain)) refuse(text, `the domain ${show(domain)} is not one`);
  if (domain === DEFAULT_DOMAIN && !path.includes("/")) path = `${OFFICIAL}${path}`;
  if (path !== path.toLowerCase()) refuse(text, "capitals in the name of the repository", "names are in lower case");
  if (!PATH.test(path))
    refuse(text, "not understood", "a name is like debian, debian:12 or localhost:5000/team/app:1.2");
  if (domain.length + 1 + path.length > MAX_NAME) refuse(text, `longer than ${MAX_NAME} characters`);
  return { domain, path };
}

/** What is before and behind one character; all of it where that is nowhere. */
const cut = (text: string, at: number): [string, string | undefined] =>
  at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];

/** With the tag `latest` where there is neither a tag nor a digest. */
export const withDefaultTag = (reference: Reference): Reference =>
  reference.tag === undefined && reference.digest === undefined ? { ...reference, tag: DEFAULT_TAG } : reference;

/** `docker.io/library/debian`, without tag and digest. */
export const repositoryOf = ({ domain, path }: Reference): string => `${domain}/${path}`;

/** Without what Docker leaves out: `debian`. */
export function familiarRepository({ domain, path }: Reference): string {
  if (domain !== DEFAULT_DOMAIN) return `${domain}/${path}`;
  const short = path.startsWith(OFFICIAL) ? path.slice(OFFICIAL.length) : path;
  return short.includes("/") ? path : short;
}

const suffix = ({ tag, digest }: Reference): string =>
  `${tag === undefined ? "" : `:${tag}`}${digest === undefined ? "" : `@${digest}`}`;

/** The whole name: `docker.io/library/debian:12`. */
export const formatReference = (reference: Reference): string => `${repositoryOf(reference)}${suffix(reference)}`;

/** As Docker prints it: `debian:12`. */
export const familiarReference = (reference: Reference): string =>
  `${familiarRepository(reference)}${suffix(reference)}`;
