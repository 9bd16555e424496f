/**
 * Which hosts stand for a registry, and how far each is trusted: mirrors, registries without TLS or with a certificate
 * that nobody vouches for, certificates of directories.
 * @module
 * @see https://docs.docker.com/reference/cli/dockerd/#insecure-registries, https://docs.docker.com/engine/security/certificates/
 */
import { DEFAULT_DOMAIN, type Reference } from "../image/index.ts";
import { namesIn, readFile, show, TsboxError } from "../../syscalls/index.ts";

/** Where Docker's own registry answers. */
const DEFAULT_HOST = "registry-1.docker.io";

export interface HostOptions {
  /**
   * Asked before the registry itself, in order: URLs or hosts, with a path if need be. By the domain that they stand
   * for, or the beginning of a repository in it (`"quay.io/team"`); a list is of docker.io, as in Docker's daemon.json.
   * @default those of that file
   */
  mirrors?: readonly string[] | Readonly<Record<string, readonly string[]>>;
  /**
   * Registries that may do without TLS, or whose certificate nobody vouches for: domains with or without a port, or
   * networks (`"10.0.0.0/8"`) for those that are named by an address. `true` is all. This machine's own (127.0.0.0/8,
   * ::1, localhost) are among them, unless it is `false`.
   * @default those of Docker's daemon.json
   */
  insecure?: readonly string[] | boolean;
  /** Certificates, PEM, that vouch for registries, besides the public ones. */
  ca?: string;
  /** Directories with a directory for each host, with certificates in it; Docker's and containers' by default. */
  certificateDirectories?: readonly string[];
}

/** One place where a repository may be had. */
export interface Endpoint {
  /** `host[:port]` */
  host: string;
  /** The scheme that was asked for; otherwise it is found out. */
  scheme?: "http" | "https";
  /** Of the repository there. */
  path: string;
  /** The registry that it stands for. */
  domain: string;
  isMirror: boolean;
}

/** What `fetch` takes as `tls`. */
export interface TlsOptions {
  rejectUnauthorized?: boolean;
  ca?: string[];
  cert?: string;
  key?: string;
}

const LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?";
const HOST = new RegExp(`^(?:${LABEL}(?:\\.${LABEL})*|\\[[0-9a-fA-F:]+\\])(?::[0-9]{1,5})?$`);
const PREFIX = /^[A-Za-z0-9_-][A-Za-z0-9._-]*(?:\/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$/;

/** `host` without the port, and without brackets. */
export const hostName = (host: string): string =>
  host
    .replace(/:\d+$/, "")
    .replace(/^\[(.*)\]$/, "$1")
    .toLowerCase();

const LOOPBACK =
  /^(?:127\.\d+\.\d+\.\d+|::1|0*(?::0*)*:0*1|::ffff:(?:127\.\d+\.\d+\.\d+|7f[0-9a-f]{2}:[0-9a-f]{1,4})|(?:.*\.)?localhost)$/;
/** Addresses of this link, among them those where clouds tell their machines secrets; and "any". */
const LINK_LOCAL =
  /^(?:169\.254\.\d+\.\d+|fe[89ab][0-9a-f]:.*|fd00:ec2::254|::ffff:(?:169\.254\.\d+\.\d+|a9fe:[0-9a-f]{1,4})|0\.0\.0\.0|::)$/;

export const isLoopback = (host: string): boolean => LOOPBACK.test(hostName(host));

/** No registry elsewhere has business to send anybody there. */
export const isOwnOrLinkLocal = (host: string): boolean => isLoopback(host) || LINK_LOCAL.test(hostName(host));

export class Hosts {
  readonly #options: HostOptions;
  readonly #tls = new Map<string, TlsOptions | undefined>();

  /** @throws TsboxError `invalid_option` */
  constructor(options: HostOptions) {
    this.#options = options;
    for (const mirror of Object.values(this.#mirrors()).flat()) mirrorEndpoint(mirror, "", "");
  }

  #mirrors(): Readonly<Record<string, readonly string[]>> {
    const { mirrors = {} } = this.#options;
    return isList(mirrors) ? { [DEFAULT_DOMAIN]: mirrors } : mirrors;
  }

  /** Where to pull from, in order: mirrors of the longest name that fits, and the registry. */
  endpoints(reference: Reference): [...Endpoint[], Endpoint] {
    const { domain, path } = reference;
    const name = `${domain}/${path}`;
    const fits = Object.keys(this.#mirrors()).filter((key) => name === key || name.startsWith(`${key}/`));
    const longest = fits.toSorted((a, b) => b.length - a.length)[0];
    const mirrors = longest === undefined ? [] : (this.#mirrors()[longest] ?? []);
    return [...mirrors.map((mirror) => mirrorEndpoint(mirror, domain, path)), this.origin(domain, path)];
  }

  /** The registry itself. */
  origin(domain: string, path: string): Endpoint {
    return { host: domain === DEFAULT_DOMAIN ? DEFAULT_HOST : domain, path, domain, isMirror: false };
  }

  /** Whether it may do without TLS, or without a certificate that somebody vouches for. */
  isInsecure(host: string): boolean {
    const { insecure } = this.#options;
    if (typeof insecure === "boolean") return insecure;
    if (isLoopback(host)) return true;
    return (
      insecure?.some((each) => each.toLowerCase() === host.toLowerCase() || fitsName(each, hostName(host))) ?? false
    );
  }

  /** @throws TsboxError `unsupported` off Bun, where it would be needed */
  tls(host: string): TlsOptions | undefined {
    if (!this.#tls.has(host)) this.#tls.set(host, this.#readTls(host));
    return this.#tls.get(host);
  }

  #readTls(host: string): TlsOptions | undefined {
    const found = certificatesOf(host, this.#options.certificateDirectories ?? certificateDirectories());
    const ca = [...(this.#options.ca === undefined ? [] : [this.#options.ca]), ...found.ca];
    const insecure = this.isInsecure(host);
    if (ca.length === 0 && !found.cert && !insecure) return undefined;
    if (typeof Bun === "undefined") {
      if (insecure && ca.length === 0) return undefined;
      throw new TsboxError(`use certificates for ${host}: only on Bun`, { code: "unsupported" });
    }
    // the public ones stay, as for Docker: loaded only where there are others
    const all = ca.length === 0 ? [] : [...process.getBuiltinModule("node:tls").rootCertificates, ...ca];
    return {
      ...(all.length > 0 ? { ca: all } : {}),
      ...(found.cert && found.key ? { cert: found.cert, key: found.key } : {}),
      // who says who vouches wants that checked
      ...(insecure && ca.length === 0 ? { rejectUnauthorized: false } : {}),
    };
  }
}

const isList = (value: NonNullable<HostOptions["mirrors"]>): value is readonly string[] => Array.isArray(value);

function mirrorEndpoint(text: string, domain: string, path: string): Endpoint {
  const [, scheme, host = "", prefix] = /^(?:(https?):\/\/)?([^/]+)(?:\/(.*?))?\/*$/.exec(text) ?? [];
  if (!HOST.test(host) || (prefix && !PREFIX.test(prefix))) {
    const shown = text.replace(/^(https?:\/\/)?[^/]*@/, "$1***@"); // a password is not for logs
    throw new TsboxError(`use the mirror ${show(shown)}: neither a URL nor a host`, {
      code: "invalid_option",
      hint: "https://mirror.example or mirror.example:5000/path",
    });
  }
  return {
    host,
    ...(scheme ? { scheme: scheme as "http" | "https" } : {}),
    path: prefix ? `${prefix}/${path}` : path,
    domain,
    isMirror: true,
  };
}

/** A name without its port, or an address in a network. */
function fitsName(pattern: string, name: string): boolean {
  const [network = "", bits] = pattern.split("/");
  if (bits === undefined) return hostName(pattern) === name && !/:\d+$/.test(pattern);
  const [a, b] = [addressOf(network), addressOf(name)];
  if (a === undefined || b === undefined || a.bits !== b.bits || !/^\d+$/.test(bits)) return false;
  const shift = BigInt(Math.max(0, a.bits - Number(bits)));
  return a.value >> shift === b.value >> shift;
}

/** An address as a number; undefined for a name. */
function addressOf(text: string): { value: bigint; bits: 32 | 128 } | undefined {
  const four = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text)?.slice(1).map(Number);
  if (four) return four.some((part) => part > 255) ? undefined : { value: digits(four, 8n), bits: 32 };
  if (!/^[0-9a-f:]+$/i.test(text) || !text.includes(":")) return undefined;
  const [head = "", tail, more] = text.split("::");
  if (more !== undefined) return undefined;
  const parts = (half: string | undefined) => (half ? half.split(":").map((part) => Number.parseInt(part, 16)) : []);
  const [before, after] = [parts(head), parts(tail)];
  const zeros = 8 - before.length - after.length;
  if (tail === undefined ? zeros !== 0 : zeros < 1) return undefined;
  const all = [...before, ...Array<number>(zeros).fill(0), ...after];
  return all.some((part) => !(part >= 0 && part <= 0xffff)) ? undefined : { value: digits(all, 16n), bits: 128 };
}

const digits = (parts: readonly number[], width: bigint): bigint =>
  parts.reduce((sum, part) => (sum << width) | BigInt(part), 0n);

/** Docker's and containers', of the user and of the machine. */
function certificateDirectories(): string[] {
  const { HOME: home, XDG_CONFIG_HOME: config = home && `${home}/.config` } = process.env;
  const own = config ? [`${config}/containers/certs.d`, `${config}/docker/certs.d`] : [];
  return [...own, "/etc/containers/certs.d", "/etc/docker/certs.d"];
}

/** `*.crt` vouch for the host; `NAME.cert` and `NAME.key` are shown to it. Of several directories the first counts. */
function certificatesOf(host: string, directories: readonly string[]): { ca: string[]; cert?: string; key?: string } {
  for (const directory of directories) {
    const own = `${directory}/${host}`;
    const names = namesIn(own).toSorted();
    if (names.length === 0) continue;
    const read = (name: string) => {
      const content = readFile(`${own}/${name}`);
      if (!content)
        throw new TsboxError(`read the certificate ${show(`${own}/${name}`)}`, { code: "permission_denied" });
      return new TextDecoder().decode(content);
    };
    const ca = names.filter((name) => name.endsWith(".crt")).map(read);
    const pair = names.find((name) => name.endsWith(".cert") && names.includes(name.replace(/\.cert$/, ".key")));
    return { ca, ...(pair ? { cert: read(pair), key: read(pair.replace(/\.cert$/, ".key")) } : {}) };
  }
  return { ca: [] };
}
