/**
 * Private keys of SSH, read from files as OpenSSH and OpenSSL write them: Ed25519, RSA and ECDSA. Without a passphrase:
 * whoever has one gives the key to an agent.
 * @module
 * @see https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.key
 * @see https://www.rfc-editor.org/rfc/rfc4253#section-6.6, rfc5656, rfc8332, rfc8709
 */
import type { KeyObject } from "node:crypto";
import { show, TsboxError } from "../../syscalls/index.ts";

export interface PrivateKey {
  /** The public key, as the protocol has it. */
  blob: Buffer;
  comment: string;
  /** @param flags of SSH_AGENTC_SIGN_REQUEST: which hash an RSA key is to use */
  sign(data: Uint8Array, flags: number): Buffer;
}

const crypto = () => process.getBuiltinModule("node:crypto");
const [RSA_SHA2_256, RSA_SHA2_512] = [2, 4];
const BEGIN = "-----BEGIN OPENSSH PRIVATE KEY-----";
const MAGIC = "openssh-key-v1\0";

const CURVES: Record<string, { curve: string; crv: string; hash: string; bytes: number }> = {
  "ecdsa-sha2-nistp256": { curve: "nistp256", crv: "P-256", hash: "sha256", bytes: 32 },
  "ecdsa-sha2-nistp384": { curve: "nistp384", crv: "P-384", hash: "sha384", bytes: 48 },
  "ecdsa-sha2-nistp521": { curve: "nistp521", crv: "P-521", hash: "sha512", bytes: 66 },
};

/** @param file what it is told as. @throws TsboxError `invalid_option` */
export function readPrivateKey(content: Uint8Array, file: string): PrivateKey {
  const text = Buffer.from(content).toString("latin1").trim();
  try {
    if (text.startsWith(BEGIN)) return readOpenSsh(text, file);
    if (!/^-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----/.test(text)) throw refused(file, "it is no private key");
    if (/^-----BEGIN ENCRYPTED |^Proc-Type: 4,ENCRYPTED/m.test(text)) throw encrypted(file);
    const key = crypto().createPrivateKey(text);
    return keyOf(key, file, file);
  } catch (error) {
    if (error instanceof TsboxError) throw error;
    throw refused(file, "it is malformed");
  }
}

/** Bytes of the protocol, one thing after the other. @throws RangeError where there are fewer */
export class Fields {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  number(): number {
    const value = this.#bytes.readUInt32BE(this.#at);
    this.#at += 4;
    return value;
  }

  string(): Buffer {
    const length = this.number();
    if (length > this.#bytes.length - this.#at) throw new RangeError("a string that is longer than what it is in");
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  text(): string {
    return this.string().toString("utf8");
  }
}

/** `string`, each behind the other. */
export function strings(...all: (string | Uint8Array)[]): Buffer {
  return Buffer.concat(
    all.flatMap((each) => {
      const bytes = Buffer.from(each as Uint8Array);
      const length = Buffer.alloc(4);
      length.writeUInt32BE(bytes.length);
      return [length, bytes];
    }),
  );
}

/** `mpint`: without zeros before it, but for one where it would be negative. */
function integer(bytes: Uint8Array): Buffer {
  const first = bytes.findIndex((byte) => byte !== 0);
  const own = first < 0 ? Buffer.alloc(0) : Buffer.from(bytes.subarray(first));
  return own.length > 0 && (own[0] as number) >= 0x80 ? Buffer.concat([Buffer.alloc(1), own]) : own;
}

function readOpenSsh(text: string, file: string): PrivateKey {
  const bytes = Buffer.from(text.slice(BEGIN.length, text.lastIndexOf("-----END")), "base64");
  if (bytes.toString("latin1", 0, MAGIC.length) !== MAGIC) throw refused(file, "it is malformed");
  const outer = new Fields(bytes.subarray(MAGIC.length));
  const [cipher] = [outer.text(), outer.text(), outer.string()];
  if (cipher !== "none") throw encrypted(file);
  if (outer.number() !== 1) throw refused(file, "it has several keys");
  outer.string();
  const inner = new Fields(outer.string());
  if (inner.number() !== inner.number()) throw refused(file, "it is malformed");
  const type = inner.text();
  const jwk = jwkOf(type, inner, file);
  return keyOf(crypto().createPrivateKey({ key: jwk, format: "jwk" }), inner.text() || file, file);
}

function jwkOf(type: string, fields: Fields, file: string): Record<string, string> {
  if (type === "ssh-ed25519") {
    const [x, secret] = [fields.string(), fields.string()];
    return { kty: "OKP", crv: "Ed25519", x: x.toString("base64url"), d: secret.toString("base64url", 0, 32) };
  }
  if (type === "ssh-rsa") {
    const [n, e, d, qi, p, q] = Array.from({ length: 6 }, () => integerOf(fields)) as [
      bigint,
      bigint,
      bigint,
      bigint,
      bigint,
      bigint,
    ];
    const all = { n, e, d, p, q, qi, dp: d % (p - 1n), dq: d % (q - 1n) };
    const encoded = Object.entries(all).map(([name, value]) => [name, base64Of(value)]);
    return { kty: "RSA", ...(Object.fromEntries(encoded) as Record<string, string>) };
  }
  const curve = CURVES[type];
  if (!curve || fields.text() !== curve.curve) throw refused(file, `a key of type ${show(type)}`);
  const { crv, bytes } = curve;
  const point = fields.string();
  if (point.length !== 1 + 2 * bytes || point[0] !== 4) throw refused(file, "it is malformed");
  return {
    kty: "EC",
    crv,
    x: point.toString("base64url", 1, 1 + bytes),
    y: point.toString("base64url", 1 + bytes),
    d: Buffer.from(
      integerOf(fields)
        .toString(16)
        .padStart(bytes * 2, "0"),
      "hex",
    ).toString("base64url"),
  };
}

const integerOf = (fields: Fields): bigint => BigInt(`0x${fields.string().toString("hex") || "0"}`);

function base64Of(value: bigint): string {
  const digits = value.toString(16);
  return Buffer.from(digits.length % 2 === 0 ? digits : `0${digits}`, "hex").toString("base64url");
}

function keyOf(key: KeyObject, comment: string, file: string): PrivateKey {
  const { kty, crv, n = "", e = "", x = "", y = "" } = key.export({ format: "jwk" });
  const part = (text: string) => Buffer.from(text, "base64url");
  const { sign } = crypto();
  if (kty === "OKP" && crv === "Ed25519") {
    const type = "ssh-ed25519";
    return { blob: strings(type, part(x)), comment, sign: (data) => strings(type, sign(null, data, key)) };
  }
  if (kty === "RSA")
    return {
      blob: strings("ssh-rsa", integer(part(e)), integer(part(n))),
      comment,
      sign(data, flags) {
        if (flags & RSA_SHA2_512) return strings("rsa-sha2-512", sign("sha512", data, key));
        if (flags & RSA_SHA2_256) return strings("rsa-sha2-256", sign("sha256", data, key));
        return strings("ssh-rsa", sign("sha1", data, key));
      },
    };
  const [type, curve] = Object.entries(CURVES).find(([, each]) => kty === "EC" && each.crv === crv) ?? [];
  if (type === undefined || !curve) throw refused(file, `a key of type ${show(crv ?? kty)}`);
  const { hash, bytes } = curve;
  return {
    blob: strings(type, curve.curve, Buffer.concat([Buffer.of(4), part(x), part(y)])),
    comment,
    sign(data) {
      const both = sign(hash, data, { key, dsaEncoding: "ieee-p1363" });
      return strings(type, strings(integer(both.subarray(0, bytes)), integer(both.subarray(bytes))));
    },
  };
}

const refused = (file: string, why: string): TsboxError =>
  new TsboxError(`use the SSH key ${show(file)}: ${why}`, {
    code: "invalid_option",
    path: file,
    hint: "the socket of an agent, or a private key: Ed25519, RSA or ECDSA",
  });

const encrypted = (file: string): TsboxError =>
  new TsboxError(`use the SSH key ${show(file)}: it has a passphrase`, {
    code: "invalid_option",
    path: file,
    hint: "give it to an agent, which asks for that: eval $(ssh-agent); ssh-add FILE; then --ssh default",
  });
