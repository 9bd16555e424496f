/**
 * Taking what is mounted in a running sandbox, for another one.
 * @module
 * @see open_tree(2), setns(2)
 */
import { ref, type Plan } from "../../syscalls/index.ts";
import type { Spec } from "../spec/index.ts";
import { NEW } from "./clone.ts";
import { flags } from "./constants.ts";
import { openInRoot, openTreeOf } from "./mounts.ts";
import { passOps } from "./pass.ts";

/** The program of a process that joins a sandbox, as an image, and passes a copy of the mounts at a path to the owner. */
export function compileTake({ linux: { namespaces } }: Spec, path: string): Plan {
  const joined = namespaces.flatMap(({ type }) => (type === "user" || type === "mount" ? (NEW[type] ?? []) : []));
  return [
    {
      action: "join the sandbox's mounts",
      ops: [
        { call: "prctl", args: [flags("PR_SET_DUMPABLE"), 0] },
        { call: "setns", args: [ref("sandbox"), flags(...joined)] },
      ],
      hint: (errno) => (errno === "ESRCH" ? "the sandbox has ended" : undefined),
    },
    {
      action: `take the volume "${path}"`,
      // nothing but a directory has a "."
      ops: [openInRoot(`${path}/.`, "target"), openTreeOf("target", "tree")],
      code: "mount_failed",
      path,
      hint: (errno) => (errno === "EINVAL" ? "a part of it cannot be bound (unbindable)" : undefined),
    },
    { action: "pass it to the owner", ops: [...passOps("tree"), { call: "exit_group", args: [0] }] },
  ];
}
