variable "team" { type = string }
variable "topics" { type = list(string) }
variable "partitions" { default = 3 }
variable "days" { default = 7 }
variable "config" {
  type    = map(string)
  default = {}
}
