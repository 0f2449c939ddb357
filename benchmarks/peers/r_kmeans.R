# R's kmeans(algorithm = "Lloyd") from a given start: prints the seconds of each repeat, one a line.
args <- commandArgs(trailingOnly = TRUE)
shape <- as.integer(args[2:4]) # rows, columns, k
read <- function(name, rows) {
  values <- readBin(file.path(args[1], name), "double", n = rows * shape[2], size = 8, endian = "little")
  matrix(values, nrow = rows, byrow = TRUE)
}
X <- read("X.f64", shape[1])
start <- read("start.f64", shape[3])
for (repeat_number in seq_len(as.integer(args[6]))) {
  seconds <- system.time(suppressWarnings(kmeans(X, start, iter.max = as.integer(args[5]), algorithm = "Lloyd")))
  cat(seconds[["elapsed"]], "\n")
}
