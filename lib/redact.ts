/** Takes secrets out of addresses before they are told: what is logged is copied into bug reports. */

const ADDRESS = /\b(https?|ftp):\/\/[^\s'"`<>]+/gi;

/** `user:password@` and `token@` before a host. */
const LOGIN = /^([a-z]+:\/\/)[^/?#@]*@/i;

/**
 * Names of query parameters that grant access: tokens and keys, and the signatures of addresses that storage
 * services sign (AWS `X-Amz-Signature`, Google `X-Goog-Signature`, Azure `sig`, CloudFront `Policy`).
 */
const SECRET =
  /([?&;][^=&;#]{0,60}(?:token|key|secret|signature|credential|password|passwd|auth|policy)[^=&;#]{0,60}=|[?&;](?:sig|jwt|code|pwd|pass)=)[^&;#]*/gi;

/** The text with `…` in the place of the secrets of every http(s) address in it. */
export function redacted(text: string): string {
  return text.replace(ADDRESS, (address) => address.replace(LOGIN, '$1…@').replace(SECRET, '$1…'));
}
