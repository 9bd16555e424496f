/**
 * What answers for names in the background: executed by whoever starts the first container of a network, with a socket that
 * listens; and what starts it once more where it was killed. Nobody types them.
 * @module
 */
import { declare, type Add } from "../images/declare.ts";
import { reportFailure } from "../report.ts";

/** The first behind stdin, stdout and stderr. */
const LISTENER = 3;

export const addNetd: Add = (parent, name) =>
  void declare(parent, name, { summary: "Answer for the names of containers in networks", usage: "" }, async () => {
    const { answerForNames, Home } = await import("../../containers/index.ts");
    const home = new Home(undefined, true);
    try {
      // it blocks, so a signal ends it as if it did not know JavaScript
      await answerForNames(home, LISTENER);
      process.exit(0);
    } catch (error) {
      process.exit(reportFailure(error));
    }
  });

export const addBegin: Add = (parent, name) =>
  void declare(parent, name, { summary: "Start what answers for names, where it was killed", usage: "" }, async () => {
    const { beginAgain, Home } = await import("../../containers/index.ts");
    await beginAgain(new Home(undefined, true));
  });
