"""Programs compiled once by clang and linked by libbpf: no BCC, and no compiler for what was compiled before."""
