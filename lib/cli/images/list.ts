/** `tsbox images`: what is here. @module */
import { familiarRepository, parseReference } from "../../image/index.ts";
import type { ImageSummary } from "../../images/index.ts";
import { print } from "../print.ts";
import { declare, FORMAT, type Add } from "./declare.ts";
import { imageFilters } from "./filters.ts";
import { humanSince, humanSize, longTime } from "./human.ts";
import { shortId } from "./layer-lines.ts";
import { listed, type Columns, type Row } from "./rows.ts";
import { withImages } from "./with-images.ts";

interface ListFlags {
  digests?: boolean;
  filter?: string[];
  format?: string;
  trunc?: boolean;
  quiet?: boolean;
}

const NONE = "<none>";

export const addImages: Add = (parent, name) =>
  void declare(
    parent,
    name,
    {
      summary: "List images",
      usage: "[FLAGS] [REPOSITORY[:TAG]]",
      words: ["[REPOSITORY]"],
      flags: [
        ["-a, --all", "Accepted, and always so: no image is hidden"],
        ["--digests", "With digests"],
        ["-f, --filter <KEY=VALUE>...", "dangling=, label=, reference=, before=, since=, until="],
        ["--format <FORMAT>", FORMAT],
        ["--no-trunc", "Ids as they are"],
        ["-q, --quiet", "Ids alone"],
      ],
    },
    (repository: string | undefined, flags: ListFlags) =>
      withImages(async (images) => {
        const { reference = [], ...filters } = imageFilters(flags.filter ?? []);
        const patterns = repository === undefined ? reference : [...reference, repository];
        const found = await images.list({ ...filters, ...(patterns.length > 0 ? { reference: patterns } : {}) });
        print(imageTable(found, flags, new Date()));
      }),
  );

export const IMAGE_TITLES = {
  ID: "IMAGE ID",
  Repository: "REPOSITORY",
  Tag: "TAG",
  Digest: "DIGEST",
  CreatedSince: "CREATED",
  CreatedAt: "CREATED AT",
  Size: "SIZE",
  VirtualSize: "SIZE",
  SharedSize: "SHARED SIZE",
  UniqueSize: "UNIQUE SIZE",
  Containers: "CONTAINERS",
};

function imageTable(images: readonly ImageSummary[], flags: ListFlags, now: Date): string {
  const { digests = false, format, trunc = true, quiet = false } = flags;
  const digest = digests ? "{{.Digest}}\t" : "";
  const columns: Columns = {
    table: `{{.Repository}}\t{{.Tag}}\t${digest}{{.ID}}\t{{.CreatedSince}}\t{{.Size}}`,
    titles: IMAGE_TITLES,
  };
  const needsDigest = digests || /\{\{[^}]*\.Digest\b/.test(format ?? "");
  const rows = images.flatMap((image) => rowsOf(image, { digests, needsDigest, trunc, now }));
  return listed(quiet && !format ? "{{.ID}}" : format, columns, rows);
}

interface Manner {
  digests: boolean;
  needsDigest: boolean;
  trunc: boolean;
  now: Date;
}

/** A row for each tag; and, where digests are shown, for each digest of its repository. */
export function rowsOf(image: ImageSummary, { digests, needsDigest, trunc, now }: Manner): Row[] {
  const row = (Repository: string, Tag: string, Digest: string): Row => ({
    ID: trunc ? shortId(image.id) : image.id,
    Repository,
    Tag,
    Digest,
    CreatedSince: humanSince(image.created, now),
    CreatedAt: longTime(image.created),
    Size: humanSize(image.sizeBytes),
    VirtualSize: humanSize(image.sizeBytes, 4),
    SharedSize: "N/A",
    UniqueSize: "N/A",
    Containers: "N/A",
  });
  const digestsOf = Map.groupBy(image.digests.map(repositoryAnd), ([repository]) => repository);
  const tags = image.tags.map(repositoryAnd);
  const rows = tags.flatMap(([repository, tag]) => {
    const all = needsDigest ? (digestsOf.get(repository) ?? []) : [];
    return all.length === 0 ? [row(repository, tag, NONE)] : all.map(([, digest]) => row(repository, tag, digest));
  });
  for (const [repository, all] of digestsOf) {
    if (tags.some(([tagged]) => tagged === repository)) continue;
    if (digests) rows.push(...all.map(([, digest]) => row(repository, NONE, digest)));
    else rows.push(row(repository, NONE, NONE));
  }
  return rows.length === 0 ? [row(NONE, NONE, NONE)] : rows;
}

/** `["debian", "12"]`, `["debian", "sha256:…"]`; names that others wrote may be anything. */
function repositoryAnd(name: string): [repository: string, tagOrDigest: string] {
  try {
    const reference = parseReference(name);
    const behind = reference.digest ?? reference.tag;
    return behind === undefined ? [name, NONE] : [familiarRepository(reference), behind];
  } catch {
    return [name, NONE];
  }
}
