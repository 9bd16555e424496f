/** Certificates that nobody vouches for, made by openssl. @module */
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";

/** Why none can be made here. */
export const noRegistryTools = Bun.which("openssl") ? undefined : "openssl is not installed";

export interface Certificate {
  file: string;
  keyFile: string;
  pem: string;
  keyPem: string;
  /** DER, base64: an element of `x5c`. */
  der: string;
}

/** A self-signed certificate of 127.0.0.1 and localhost, with an elliptic key (P-256), in two files of a directory. */
export function makeCertificate(directory: string, name = "server"): Certificate {
  const [file, keyFile] = [join(directory, `${name}.crt`), join(directory, `${name}.key`)];
  const words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost".split(
    " ",
  );
  const made = Bun.spawnSync(
    ["openssl", ...words, "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-keyout", keyFile, "-out", file],
    { stdin: "ignore", stdout: "ignore", stderr: "pipe" },
  );
  if (made.exitCode !== 0) throw new Error(`openssl: ${made.stderr.toString()}`);
  const pem = readFileSync(file, "utf8");
  const der = new X509Certificate(pem).raw.toString("base64");
  return { file, keyFile, pem, keyPem: readFileSync(keyFile, "utf8"), der };
}
