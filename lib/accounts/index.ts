/** Users and groups of root filesystems. @module */
export { findGroup, findUser, homeOf, MAX_ID, type Accounts, type User } from "./accounts.ts";
