/**
 * The `host` root filesystem: the system's programs and libraries, and nothing that is somebody's.
 * @module
 */
import { existsSync, lstatSync, readFileSync, readlinkSync, statSync } from "node:fs";
import type { RootEntry } from "../plan/index.ts";
import type { Mount } from "../spec/index.ts";

/** Directories with programs and libraries. */
const SYSTEM = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store"];
/** What programs need of /etc and everybody may know; all else, `/etc/shadow` first, is not there. */
const ETC_DIRECTORIES = [
  "alternatives",
  "ssl/certs",
  "fonts",
  "ld.so.conf.d",
  "ca-certificates",
  "java-17-openjdk",
  "python3.11",
];
const ETC_FILES = [
  "ld.so.cache",
  "ld.so.conf",
  "nsswitch.conf",
  "protocols",
  "services",
  "os-release",
  "debian_version",
  "mime.types",
  "localtime",
  "timezone",
  "ssl/openssl.cnf",
];
const PRIVATE: [path: string, mode: number][] = [
  ["/tmp", 0o1777],
  ["/home", 0o755],
  ["/root", 0o700],
  ["/run", 0o755],
  ["/var", 0o755],
  ["/var/tmp", 0o1777],
];
const PASSWD = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n";
const GROUP = "root:x:0:\nnogroup:x:65534:\n";

/** What the root is made of, and what is mounted into it. */
export function hostRoot(): { entries: RootEntry[]; mounts: Mount[] } {
  const text = (content: string) => new TextEncoder().encode(content);
  const entries: RootEntry[] = [
    { path: "/etc", directory: 0o755 },
    { path: "/etc/ssl", directory: 0o755 },
    { path: "/etc/passwd", file: text(PASSWD) },
    { path: "/etc/group", file: text(GROUP) },
    { path: "/etc/hosts", file: text("127.0.0.1 localhost\n::1 localhost\n") },
  ];
  const mounts: Mount[] = [];
  const bind = (path: string) =>
    mounts.push({ destination: path, type: "bind", source: path, options: ["rbind", "ro", "nosuid", "nodev"] });
  for (const path of SYSTEM) {
    if (!existsSync(path)) continue;
    if (lstatSync(path).isSymbolicLink()) entries.push({ path, symlink: readlinkSync(path) });
    else bind(path);
  }
  for (const name of ETC_DIRECTORIES) {
    if (existsSync(`/etc/${name}`) && statSync(`/etc/${name}`).isDirectory()) bind(`/etc/${name}`);
  }
  for (const name of ETC_FILES) {
    const path = `/etc/${name}`;
    if (!existsSync(path) || !statSync(path).isFile()) continue;
    entries.push({ path, file: new Uint8Array(readFileSync(path)) });
  }
  for (const [path, mode] of PRIVATE) entries.push({ path, directory: mode });
  return { entries, mounts };
}
