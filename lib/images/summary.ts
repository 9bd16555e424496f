/** What there is to say of an image in a list, and which ones are meant. @module */
import {
  familiarReference,
  familiarRepository,
  parseReference,
  type Digest,
  type ImageConfig,
  type Platform,
  type Reference,
} from "../image/index.ts";
import { globOf } from "./glob.ts";
import { show, TsboxError } from "../../syscalls/index.ts";

export interface ImageSummary {
  /** Digest of the config. */
  id: Digest;
  /** Of the manifest. */
  digest: Digest;
  /** As Docker prints them: `debian:12`. */
  tags: string[];
  /** `debian@sha256:…` */
  digests: string[];
  created: Date | undefined;
  /** Of its files, unpacked. */
  sizeBytes: number;
  labels: Record<string, string>;
  platform: Platform;
}

export interface ImageFilters {
  /** Without a name, or only those with one. */
  dangling?: boolean;
  /** `name` or `name=value`; each has to be there. */
  label?: readonly string[];
  /** The same; none of them may be there. */
  notLabel?: readonly string[];
  /** Patterns of names: `debian`, `*:12`. One has to match. */
  reference?: readonly string[];
  /** Made before, or since, another image. */
  before?: string;
  since?: string;
  /** Made before: a date, `"24h"` ago, or seconds since 1970. */
  until?: Date | string;
}

/** Names as they are in the store: some with a tag, some with a digest, and what others wrote, which may be anything. */
export function familiarNames(names: readonly string[]): { tags: string[]; digests: string[] } {
  const [tags, digests]: [string[], string[]] = [[], []];
  for (const name of names) {
    const reference = tryReference(name);
    if (reference?.digest !== undefined && reference.tag === undefined) digests.push(familiarReference(reference));
    else tags.push(reference ? familiarReference(reference) : name);
  }
  return { tags: tags.toSorted(), digests: digests.toSorted() };
}

/** As Docker prints it; what others wrote stays. */
export function familiarName(name: string): string {
  const reference = tryReference(name);
  return reference ? familiarReference(reference) : name;
}

/** Whole names only: of `latest`, which another tool wrote, nobody knows what it is the tag of. */
export const tryReference = (name: string): Reference | undefined =>
  /[:/]/.test(name) ? anyReference(name) : undefined;

/** Undefined where it cannot be one, such as an id. */
export function anyReference(name: string): Reference | undefined {
  try {
    return parseReference(name);
  } catch {
    return undefined;
  }
}

export const createdOf = ({ created }: ImageConfig): Date | undefined => {
  const date = new Date(created ?? Number.NaN);
  return Number.isNaN(date.getTime()) ? undefined : date;
};

/** The summaries that all filters let through. @param find an image by its name, for `before` and `since` */
export function filterImages(
  images: readonly ImageSummary[],
  filters: ImageFilters,
  find: (name: string) => ImageSummary,
): ImageSummary[] {
  const { dangling, label = [], notLabel = [], reference, before, since, until } = filters;
  const time = (image: ImageSummary) => image.created?.getTime() ?? 0;
  const [earliest, latest] = [
    since === undefined ? undefined : time(find(since)),
    before === undefined ? undefined : time(find(before)),
  ];
  const limit = until === undefined ? undefined : momentOf(until).getTime();
  const patterns = reference?.map(patternOf);
  const isWanted = (tag: string) => !patterns || patterns.some((matches) => matches(tag));
  const found = images.filter((image) => {
    if (dangling !== undefined && dangling !== isDangling(image)) return false;
    if (!label.every((wanted) => hasLabel(image, wanted))) return false;
    if (notLabel.some((unwanted) => hasLabel(image, unwanted))) return false;
    if (patterns && !image.tags.some(isWanted)) return false;
    if (earliest !== undefined && time(image) <= earliest) return false;
    if (latest !== undefined && time(image) >= latest) return false;
    return limit === undefined || time(image) < limit;
  });
  // who asks for names is not told others
  return patterns ? found.map((image) => withNames(image, isWanted)) : found;
}

/** With the tags that are wanted, and the digests of their repositories. */
function withNames(image: ImageSummary, isWanted: (name: string) => boolean): ImageSummary {
  const tags = image.tags.filter(isWanted);
  const repositories = new Set(tags.map(repositoryOf));
  const digests = image.digests.filter((name) => isWanted(name) || repositories.has(repositoryOf(name)));
  return { ...image, tags, digests };
}

const repositoryOf = (name: string): string => {
  const reference = tryReference(name);
  return reference ? familiarRepository(reference) : name;
};

export const isDangling = ({ tags }: Pick<ImageSummary, "tags">): boolean => tags.length === 0;

function hasLabel({ labels }: ImageSummary, wanted: string): boolean {
  const at = wanted.indexOf("=");
  if (at < 0) return Object.hasOwn(labels, wanted);
  const name = wanted.slice(0, at);
  return Object.hasOwn(labels, name) && labels[name] === wanted.slice(at + 1);
}

/** `*` and `?` stand for what is no slash; without a tag it is about repositories. */
function patternOf(pattern: string): (tag: string) => boolean {
  const matches = globOf(pattern);
  if (!matches) throw new TsboxError(`filter images by ${show(pattern)}: not a pattern`, { code: "invalid_option" });
  return (tag) => {
    const reference = tryReference(tag) ?? tryReference(`${tag}:latest`);
    const names = reference ? [familiarRepository(reference), `${reference.domain}/${reference.path}`] : [];
    return [tag, ...names].some(matches);
  };
}

const UNITS: Record<string, number> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** @throws TsboxError `invalid_option` */
export function momentOf(until: Date | string): Date {
  if (until instanceof Date) return until;
  const parts = [...until.matchAll(/(\d+(?:\.\d+)?)([smhd])/g)];
  if (parts.length > 0 && parts.map(([all]) => all).join("") === until) {
    const ago = parts.reduce((sum, [, count, unit]) => sum + Number(count) * (UNITS[unit as string] as number), 0);
    return new Date(Date.now() - ago);
  }
  const date = /^\d+(?:\.\d+)?$/.test(until) ? new Date(Number(until) * 1000) : new Date(until);
  if (!Number.isNaN(date.getTime())) return date;
  throw new TsboxError(`use the time ${show(until)}: not understood`, {
    code: "invalid_option",
    hint: "2026-01-31T12:00:00Z, 24h, or seconds since 1970",
  });
}
