/** What a store cannot do is said as its databases say it. @module */
export { asUnavailable, storing, unavailable } from "../state/index.ts";
