/**
 * The `host` root filesystem: the system's programs and libraries, and nothing that is somebody's.
 * @module
 */
import { kindOfPath, namesIn, readFile, readLink, statFile } from "../../syscalls/index.ts";
import type { RootEntry } from "../plan/index.ts";
import type { Mount } from "../spec/index.ts";
import { frozen } from "./mounts.ts";

/** Directories with programs and libraries. */
export const SYSTEM = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store"];
/** What programs need of /etc and everybody may know; all else, `/etc/shadow` first, is not there. */
const ETC_DIRECTORIES = ["alternatives", "ssl/certs", "fonts", "ld.so.conf.d", "ca-certificates"];
/** Settings of interpreters, in a directory for each version. */
const ETC_PATTERN = /^(java|python|perl|php|node|lua)[-\d.]/;
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

const [S_IFMT, S_IFREG] = [0o170000, 0o100000];

/** Who there is inside. */
export const HOST_ACCOUNTS = { passwd: PASSWD, group: GROUP };

/** How old the view may be: taking it anew costs as much as starting a process. */
const VIEW_AGE_MS = 1000;
let taken: { at: number; root: HostRoot } | undefined;

/** What the root is made of, and what is mounted into it. */
export interface HostRoot {
  entries: RootEntry[];
  mounts: Mount[];
}

export function hostRoot(): HostRoot {
  const now = performance.now();
  if (!taken || now - taken.at > VIEW_AGE_MS) taken = { at: now, root: takeView() };
  return taken.root;
}

function takeView(): HostRoot {
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
    mounts.push({ destination: path, type: "bind", source: path, options: ["rbind", "rro", "rnosuid", "rnodev"] });
  for (const path of SYSTEM) {
    const symlink = readLink(path);
    if (symlink !== undefined) entries.push({ path, symlink });
    else if (kindOfPath(path)) bind(path);
  }
  const etc = [...ETC_DIRECTORIES, ...namesIn("/etc").filter((name) => ETC_PATTERN.test(name))];
  for (const path of etc.map((name) => `/etc/${name}`)) {
    if (kindOfPath(path) === "directory" && readLink(path) === undefined) bind(path);
  }
  for (const path of ETC_FILES.map((name) => `/etc/${name}`)) {
    const mode = statFile(path)?.mode ?? 0;
    // what not everybody may read is a secret
    const file = (mode & S_IFMT) === S_IFREG && (mode & 0o004) !== 0 ? readFile(path) : undefined;
    if (file) entries.push({ path, file });
  }
  for (const [path, mode] of PRIVATE) entries.push({ path, directory: mode });
  return { entries, mounts: mounts.map(frozen) };
}
