/**
 * A process in a network namespace, and in the user namespace whose it is, that makes system calls for its owner: what
 * has to happen inside, such as `socket(2)`.
 * @module
 * @see network_namespaces(7)
 */
import { ref, type Op, type Plan } from "../../syscalls/index.ts";
import { agentSteps } from "./agent.ts";
import { flags } from "./constants.ts";

/**
 * Bound are the `socket` that requests come from, and the namespaces as `user` and `network`, where they are there.
 * @param made both are new: whoever makes a user namespace has all capabilities in it, whoever it maps
 */
export function networkAgentSteps(made: boolean): Plan {
  const join: Op[] = made
    ? [{ call: "unshare", args: [flags("CLONE_NEWUSER", "CLONE_NEWNET")] }]
    : [
        { call: "setns", args: [ref("user"), flags("CLONE_NEWUSER")] },
        { call: "setns", args: [ref("network"), flags("CLONE_NEWNET")] },
      ];
  return [
    {
      action: made ? "make a network namespace" : "join the network namespace",
      ops: [
        { call: "prctl", args: [flags("PR_SET_DUMPABLE"), 0] },
        // what a terminal sends to its owner is not for it
        { call: "setsid", args: [] },
        ...join,
        { call: "dup3", args: [ref("socket"), 0, 0] },
      ],
      code: "permission_denied",
      hint: (errno) =>
        errno === "EPERM"
          ? "this user may not make user namespaces (kernel.unprivileged_userns_clone, AppArmor)"
          : undefined,
    },
    ...agentSteps(),
  ];
}
