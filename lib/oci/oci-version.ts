/** The newest version of the specification all of whose fields are read. @module */
export const OCI_VERSION = "1.3.0";
