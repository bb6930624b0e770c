/** Files of a bundle: where they lie, and their path in it. */
export function bundleContents(options?: {
  readonly models?: boolean;
  readonly tests?: boolean;
}): { readonly from: string; readonly to: string }[];
