/**
 * Maps of sparse files, in the four ways that GNU tar has written them: in the header (`S`), in records of an extended
 * header (0.0, 0.1), and in front of the data (1.0).
 * @module
 * @see https://www.gnu.org/software/tar/manual/html_node/Sparse-Formats.html
 */
import { ascii, type PaxRecords } from "./pax.ts";
import type { TarSegment } from "./tar-entry.ts";

const BLOCK_BYTES = 512;

/** A decimal number, or NaN. */
const decimal = (text: string): number => (/^\d{1,15}$/.test(text) ? Number(text) : NaN);

/** What the records say: nothing, the size and the map, or the size alone where the map is in front of the data. */
export function sparseMap(records: PaxRecords): { size: number; map?: TarSegment[] } | "malformed" | undefined {
  const text = (key: string) => {
    const bytes = records.get(`GNU.sparse.${key}`);
    return bytes && ascii(bytes);
  };
  const [major, map] = [text("major"), text("map")];
  const size = decimal(text("realsize") ?? text("size") ?? "");
  if (major === undefined && map === undefined) return text("size") === undefined ? undefined : "malformed";
  if (Number.isNaN(size)) return "malformed";
  if (major === "1" && text("minor") === "0") return { size };
  if ((major !== undefined && major !== "0") || map === undefined) return "malformed";
  const numbers = map === "" ? [] : map.split(",").map(decimal);
  if (numbers.length % 2 !== 0 || numbers.some(Number.isNaN)) return "malformed";
  return { size, map: pairs(numbers) };
}

/** The map in front of the data: lines of digits, first how many pairs follow; in whole blocks. */
export function readMap(bytes: Uint8Array): TarSegment[] | undefined {
  const lines = ascii(bytes).split("\n");
  const count = decimal(lines[0] as string);
  const numbers = lines.slice(1, 1 + 2 * count).map(decimal);
  // what is behind the last line break is padding
  if (Number.isNaN(count) || lines.length - 1 < 1 + 2 * count || numbers.some(Number.isNaN)) return undefined;
  const length = lines.slice(0, 1 + 2 * count).reduce((sum, line) => sum + line.length + 1, 0);
  return Math.ceil(length / BLOCK_BYTES) * BLOCK_BYTES === bytes.length ? pairs(numbers) : undefined;
}

/** Pairs of numbers in octal or base-256, 12 bytes each, in a header or a block behind it. */
export function oldSparse(
  block: Uint8Array,
  from: number,
  count: number,
  moreAt: number,
): { segments?: TarSegment[]; size?: number; hasMore: boolean } {
  const field = (at: number): number => {
    const bytes = block.subarray(at, at + 12);
    if (bytes[0] === 0x80) return bytes.subarray(1).reduce((sum, byte) => sum * 256 + byte, 0);
    const digits = ascii(bytes)
      .replace(/^[ \0]+/, "")
      .replace(/[ \0].*$/s, "");
    return digits === "" ? 0 : /^[0-7]+$/.test(digits) ? parseInt(digits, 8) : NaN;
  };
  const numbers: number[] = [];
  for (let index = 0; index < count && block[from + index * 24] !== 0; index++)
    numbers.push(field(from + index * 24), field(from + index * 24 + 12));
  const hasMore = block[moreAt] !== 0;
  const size = field(483);
  if (numbers.some((number) => !Number.isSafeInteger(number))) return { hasMore };
  return { segments: pairs(numbers), hasMore, ...(Number.isSafeInteger(size) ? { size } : {}) };
}

function pairs(numbers: number[]): TarSegment[] {
  const segments: TarSegment[] = [];
  for (let at = 0; at < numbers.length; at += 2)
    segments.push({ offset: numbers[at] as number, sizeBytes: numbers[at + 1] as number });
  return segments;
}

/** Segments without the empty ones; undefined unless they are in order, in the file, and as long as the data. */
export function parseMap(segments: TarSegment[], sizeBytes: number, dataBytes: number): TarSegment[] | undefined {
  let [end, total] = [0, 0];
  for (const segment of segments) {
    if (segment.offset < end || segment.sizeBytes < 0) return undefined;
    end = segment.offset + segment.sizeBytes;
    total += segment.sizeBytes;
    if (end > sizeBytes) return undefined;
  }
  return total === dataBytes ? segments.filter((segment) => segment.sizeBytes > 0) : undefined;
}
