// node-forge's ASN.1 part alone: the package's main file would load its whole cryptography (72 instead of 14 ms).
declare module "node-forge/lib/asn1.js" {
  import { asn1 } from "node-forge";
  // biome-ignore lint/style/noDefaultExport: it is a CommonJS module
  export default asn1;
}
