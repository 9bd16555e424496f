#!/usr/bin/env bun
/**
 * What the binary is called as: the `tsbox` command, or the OCI runtime, which has a command line of its own and is
 * started for each step of a container's life, so that it loads nothing of the other.
 * @module
 */
async function main(words: string[]): Promise<void> {
  const name = process.argv0.slice(process.argv0.lastIndexOf("/") + 1);
  const isLink = name === "tsbox-oci";
  if (!isLink && words[0] !== "oci") return void (await import("./tsbox.ts"));
  const { oci } = await import("./oci/main.ts");
  process.exit(await (isLink ? oci(name, words) : oci("tsbox oci", words.slice(1))));
}

void main(process.argv.slice(2));
