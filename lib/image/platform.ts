/**
 * What an image is made for, and which of several a machine takes.
 * @module
 * @see https://github.com/opencontainers/image-spec/blob/main/image-index.md, https://go.dev/doc/install/source#environment
 */
import { show, TsboxError } from "../../syscalls/index.ts";

/** In Go's words. */
export interface Platform {
  os: string;
  architecture: string;
  /** Of the CPU: `"v8"` */
  variant?: string;
  "os.version"?: string;
  "os.features"?: string[];
}

/** Names that people write, and Go's. */
const ARCHITECTURES: Record<string, [architecture: string, variant?: string]> = {
  x86_64: ["amd64"],
  "x86-64": ["amd64"],
  x64: ["amd64"],
  i386: ["386"],
  ia32: ["386"],
  aarch64: ["arm64"],
  armhf: ["arm", "v7"],
  armel: ["arm", "v6"],
};
/** What is meant where there is no variant. */
const USUAL_VARIANT: Record<string, string> = { arm64: "v8", arm: "v7", amd64: "v1" };

const WORD = /^[A-Za-z0-9_-]+$/;

/** `linux/arm64/v8`, `arm64`. @throws TsboxError `invalid_option` */
export function parsePlatform(text: string): Platform {
  const words = text.split("/");
  if (words.length > 3 || !words.every((word) => WORD.test(word)))
    throw new TsboxError(`use the platform ${show(text)}: not understood`, {
      code: "invalid_option",
      hint: "linux/amd64, linux/arm64/v8",
    });
  const [first = "", second, third] = words.map((word) => word.toLowerCase());
  if (second === undefined) return first === "linux" ? { ...hostPlatform(), os: first } : plain("linux", first);
  return plain(first, second, third);
}

function plain(os: string, named: string, variant?: string): Platform {
  const [architecture, usual] = Object.hasOwn(ARCHITECTURES, named) ? ARCHITECTURES[named]! : [named];
  const chosen = variant ?? usual;
  return { os, architecture, ...(chosen === undefined ? {} : { variant: chosen }) };
}

export const hostPlatform = (): Platform => plain("linux", process.arch);

export const formatPlatform = ({ os, architecture, variant }: Platform): string =>
  [os, architecture, ...(variant === undefined ? [] : [variant])].join("/");

const variantOf = ({ architecture, variant }: Platform): string => variant ?? USUAL_VARIANT[architecture] ?? "";
/** `v7`: 7; what is no such word comes last. */
const levelOf = (platform: Platform): number => Number(/^v(\d+)$/.exec(variantOf(platform))?.[1] ?? -1);

/**
 * How well what is `offered` suits who wants `wanted`: 0 not at all, more is better. A CPU runs what was made for older
 * variants of it; one that asks for none in particular takes the plain one.
 */
export function platformMatches(offered: Platform, wanted: Platform): number {
  if (offered.os !== wanted.os || offered.architecture !== wanted.architecture) return 0;
  if (variantOf(offered) === variantOf(wanted)) return 1000;
  const [has, wants] = [levelOf(offered), levelOf(wanted)];
  return has >= 0 && has < wants ? 1 + has : 0;
}

/** What a machine runs beside its own. */
const ALSO: Record<string, string> = { amd64: "386", arm64: "arm" };

/** Of an image that this machine does not run by itself, and that nobody asked for in particular: Docker's words. */
export function platformWarning(offered: Platform): string | undefined {
  const host = hostPlatform();
  const suits = [host.architecture, ALSO[host.architecture]].includes(offered.architecture);
  if (offered.os === host.os && suits) return undefined;
  return `The requested image's platform (${formatPlatform(offered)}) does not match the detected host platform (${formatPlatform(host)}) and no specific platform was requested`;
}
