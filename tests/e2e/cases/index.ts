/** Every case, by being imported. @module */
import "./create.ts";
import "./run.ts";
import "./options.ts";
import "./ps.ts";
import "./inspect.ts";
import "./exec.ts";
import "./streams.ts";
import "./life.ts";
import "./restart.ts";
import "./health.ts";
import "./look.ts";
import "./files.ts";
import "./volumes.ts";
import "./mounts.ts";
