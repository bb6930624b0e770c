/** Path of the Python interpreter of the reference; packages are fetched once unless one was given. */
export function referencePython(given?: string): Promise<string>;
